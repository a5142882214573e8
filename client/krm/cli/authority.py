"""A CA of one `krm up`: its key lives in this process alone, and what it signs is worth something here alone."""

from __future__ import annotations

import datetime
import ipaddress
from typing import Any, Tuple

# Days. The CA stands in a kubeconfig, so it outlives the serving certificates, which are renewed meanwhile.
CA_DAYS, SERVING_DAYS = 365, 7
_CLOCKS = datetime.timedelta(minutes=5)  # by which a reader's clock may lag behind


class Authority:
    """Needs the cryptography package: ImportError where it is missing."""

    def __init__(self, name: str) -> None:
        """`name`: what a person reads where a certificate is shown."""
        from cryptography import x509
        from cryptography.hazmat.primitives.asymmetric import ec
        from cryptography.x509.oid import NameOID

        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        usage = x509.KeyUsage(
            digital_signature=False, content_commitment=False, key_encipherment=False, data_encipherment=False,
            key_agreement=False, key_cert_sign=True, crl_sign=True, encipher_only=False, decipher_only=False,
        )  # fmt: skip
        made = self._certificate(self._name, self._key, CA_DAYS)
        made = made.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        made = made.add_extension(usage, critical=True)
        self.pem = self._signed(made)

    def serving(self) -> Tuple[bytes, bytes]:
        """A new certificate for 127.0.0.1 and localhost, and its key: both PEM."""
        from cryptography import x509
        from cryptography.hazmat.primitives import serialization
        from cryptography.hazmat.primitives.asymmetric import ec
        from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "krm server")])
        here = [x509.IPAddress(ipaddress.ip_address("127.0.0.1")), x509.DNSName("localhost")]
        made = self._certificate(subject, key, SERVING_DAYS)
        made = made.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        made = made.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        made = made.add_extension(x509.SubjectAlternativeName(here), critical=False)
        written = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        return self._signed(made), written

    def _certificate(self, subject: Any, key: Any, days: int) -> Any:
        from cryptography import x509

        now = datetime.datetime.now(datetime.timezone.utc)
        made = x509.CertificateBuilder().subject_name(subject).issuer_name(self._name)
        made = made.public_key(key.public_key()).serial_number(x509.random_serial_number())
        made = made.not_valid_before(now - _CLOCKS).not_valid_after(now + datetime.timedelta(days=days))
        # Strict readers (Python 3.13) demand both identifiers.
        made = made.add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key())
        return made.add_extension(issuer, critical=False)

    def _signed(self, made: Any) -> bytes:
        from cryptography.hazmat.primitives import hashes, serialization

        signed: bytes = made.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
        return signed
