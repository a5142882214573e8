"""CAs and certificates of a test's own, made with the cryptography package."""

from __future__ import annotations

import datetime
import ipaddress
from pathlib import Path
from typing import NamedTuple, Optional, Sequence

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID


class Pair(NamedTuple):
    """Two PEM files."""

    cert: Path
    key: Path


class Authority:
    """A CA that lives for an hour."""

    def __init__(self, folder: Path, name: str) -> None:
        self._folder, self._key = folder, ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        usage = x509.KeyUsage(False, False, False, False, False, True, True, False, False)
        made = self._builder(self._name, self._key).add_extension(x509.BasicConstraints(True, 0), True)
        made = made.add_extension(x509.SubjectKeyIdentifier.from_public_key(self._key.public_key()), False)
        self.pem = _pem(made.add_extension(usage, True).sign(self._key, hashes.SHA256()))
        self.file = folder / f"{name}.pem"
        self.file.write_bytes(self.pem)

    def server(self, name: str = "server", addresses: Sequence[str] = (), names: Sequence[str] = ()) -> Pair:
        """For 127.0.0.1, ::1, localhost, the IP `addresses` and the DNS `names`."""
        listed = [x509.IPAddress(ipaddress.ip_address(text)) for text in ("127.0.0.1", "::1", *addresses)]
        named = [x509.DNSName(text) for text in ("localhost", *names)]
        subjects = x509.SubjectAlternativeName([*named, *listed])
        return self._issue(name, (), ExtendedKeyUsageOID.SERVER_AUTH, subjects)

    def client(self, name: str, groups: Sequence[str] = ()) -> Pair:
        """As Kubernetes reads it: the common name is the user, organisations are groups."""
        return self._issue(name, groups, ExtendedKeyUsageOID.CLIENT_AUTH, None)

    def _issue(
        self, name: str, groups: Sequence[str], usage: x509.ObjectIdentifier, names: Optional[x509.ExtensionType]
    ) -> Pair:
        key = ec.generate_private_key(ec.SECP256R1())
        parts = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, group) for group in groups]
        subject = x509.Name([*parts, x509.NameAttribute(NameOID.COMMON_NAME, name)])
        issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key())
        made = self._builder(subject, key).add_extension(x509.ExtendedKeyUsage([usage]), False)
        made = made.add_extension(issuer, False)  # strict readers demand it
        if names is not None:
            made = made.add_extension(names, False)
        pair = Pair(self._folder / f"{name}.crt", self._folder / f"{name}.key")
        pair.cert.write_bytes(_pem(made.sign(self._key, hashes.SHA256())))
        pair.key.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        return pair

    def _builder(self, subject: x509.Name, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
        now = datetime.datetime.now(datetime.timezone.utc)
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(hours=1))
            .not_valid_after(now + datetime.timedelta(hours=1))
        )


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)
