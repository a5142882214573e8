"""Whose a client certificate is, under the CAs of one cluster. Pure but for the time that is passed in.

As Go's crypto/x509 verifies for the API server, with one difference that only refuses more: a certificate
counts where a CA of the bundle itself signed it, not one in between that the client brings along.
"""

from __future__ import annotations

import datetime
import hashlib
from typing import List, NamedTuple, Optional, Sequence, Tuple

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.x509 import Certificate
from cryptography.x509.oid import ExtendedKeyUsageOID, ExtensionOID, NameOID
from krm.cluster.reviews import User
from krm.server.credentials import with_group

_UID = x509.ObjectIdentifier("1.3.6.1.4.1.57683.2")  # a user's uid in a subject, as Kubernetes writes it
_CREDENTIAL = "authentication.kubernetes.io/credential-id"
# Extensions whose meaning is looked at here, or binds servers alone. A critical one beside these is refused.
_KNOWN = (
    ExtensionOID.BASIC_CONSTRAINTS,
    ExtensionOID.KEY_USAGE,
    ExtensionOID.EXTENDED_KEY_USAGE,
    ExtensionOID.SUBJECT_ALTERNATIVE_NAME,
)
_FOR_CLIENTS = {ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE}
_HASHES = ("sha256", "sha384", "sha512")
_BROKEN = (
    ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm, x509.DuplicateExtension, x509.InvalidVersion,
    x509.UnsupportedGeneralNameType,
)  # fmt: skip


class Cas(NamedTuple):
    """The certificates of one cluster's CAs."""

    clients: Tuple[Certificate, ...] = ()
    proxies: Tuple[Certificate, ...] = ()  # whose certificates may name others in headers
    allowed_names: Tuple[str, ...] = ()  # common names of proxies; () = any


class Peer(NamedTuple):
    """Who is at the other end."""

    user: Optional[User] = None  # None = no client CA of this cluster says who
    proxy: bool = False


def bundle(pem: str) -> Tuple[Certificate, ...]:
    """The certificates of a PEM text, () where there is none. Raises ValueError."""
    return tuple(x509.load_pem_x509_certificates(pem.encode())) if pem.strip() else ()


def peer(der: bytes, cas: Cas, now: datetime.datetime) -> Peer:
    """Of a certificate that TLS has shown the peer to hold the key of. `now` has a timezone."""
    try:
        certificate = x509.load_der_x509_certificate(der)
        if not _in_force(certificate, now) or not _sound(certificate) or not _for_clients(certificate):
            return Peer()
        name = _common_name(certificate)
        proxy = _signed(certificate, cas.proxies, now) and (not cas.allowed_names or name in cas.allowed_names)
        user = _user(certificate, der, name) if _signed(certificate, cas.clients, now) else None
        return Peer(user, proxy)
    except _BROKEN:
        return Peer()


def _signed(certificate: Certificate, cas: Sequence[Certificate], now: datetime.datetime) -> bool:
    """Whether one of these CAs signed it."""
    for ca in cas:
        if ca.subject != certificate.issuer:
            continue
        try:
            certificate.verify_directly_issued_by(ca)
            if _in_force(ca, now) and _sound(ca) and _is_ca(ca) and _for_clients(ca):
                return True
        except _BROKEN:
            continue
    return False


def _in_force(certificate: Certificate, now: datetime.datetime) -> bool:
    if hasattr(certificate, "not_valid_after_utc"):
        return certificate.not_valid_before_utc <= now <= certificate.not_valid_after_utc
    naive = now.astimezone(datetime.timezone.utc).replace(tzinfo=None)  # cryptography 41
    return certificate.not_valid_before <= naive <= certificate.not_valid_after


def _sound(certificate: Certificate) -> bool:
    """Signed with a hash that holds, and without critical demands that are not understood."""
    algorithm = certificate.signature_hash_algorithm  # None = Ed25519 and the like, with a hash of their own
    hashed = algorithm is None or algorithm.name in _HASHES
    return hashed and all(one.oid in _KNOWN for one in certificate.extensions if one.critical)


def _is_ca(certificate: Certificate) -> bool:
    try:
        if not certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca:
            return False
    except x509.ExtensionNotFound:
        return False
    try:
        return certificate.extensions.get_extension_for_class(x509.KeyUsage).value.key_cert_sign
    except x509.ExtensionNotFound:
        return True


def _for_clients(certificate: Certificate) -> bool:
    try:
        usages = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except x509.ExtensionNotFound:
        return True
    return bool(_FOR_CLIENTS & set(usages))


def _common_name(certificate: Certificate) -> str:
    names = _texts(certificate, NameOID.COMMON_NAME)
    return names[-1] if names else ""


def _user(certificate: Certificate, der: bytes, name: str) -> Optional[User]:
    uids = _texts(certificate, _UID)
    if not name or len(uids) > 1 or uids == [""]:
        return None
    groups = tuple(_texts(certificate, NameOID.ORGANIZATION_NAME))
    credential = (_CREDENTIAL, ("X509SHA256=" + hashlib.sha256(der).hexdigest(),))
    return with_group(User(name, uids[0] if uids else "", groups, (credential,)))


def _texts(certificate: Certificate, oid: x509.ObjectIdentifier) -> List[str]:
    values = [attribute.value for attribute in certificate.subject.get_attributes_for_oid(oid)]
    if not all(isinstance(value, str) for value in values):
        raise ValueError("a name that is no text")
    return [str(value) for value in values]
