"""A certificate of one collector's life, signed by itself: its digest stands in Redis, readers compare that."""

from __future__ import annotations

import datetime
import os
import ssl
import tempfile
from hashlib import sha256
from typing import NamedTuple, Tuple

# Days. A collector that runs longer is begun anew by any upgrade before; readers compare the digest alone.
DAYS = 3650
_CLOCKS = datetime.timedelta(minutes=5)  # by which a reader's clock may lag behind


class Serving(NamedTuple):
    """What a TLS server needs, and what its readers compare."""

    context: ssl.SSLContext
    digest: str  # SHA-256 of the certificate's DER, hex


def given(certificate: str, key: str) -> Serving:
    """Of two PEM files. Raises OSError, ssl.SSLError, ValueError."""
    with open(certificate, encoding="ascii") as file:
        pem = file.read(1024 * 1024)
    first = pem[: pem.index("-----END CERTIFICATE-----")] + "-----END CERTIFICATE-----\n"
    return Serving(
        _context(certificate, key), sha256(ssl.PEM_cert_to_DER_cert(first[first.index("-----BEGIN") :])).hexdigest()
    )


def made() -> Serving:
    """A new one; its key is in this process alone. ImportError without the cryptography package."""
    pem, key = _self_signed()
    with tempfile.TemporaryDirectory() as folder:  # ssl reads files alone; 0700, gone at once
        paths = os.path.join(folder, "cert"), os.path.join(folder, "key")
        for path, content in zip(paths, (pem, key)):
            with open(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600), "wb") as file:
                file.write(content)
        return Serving(_context(*paths), sha256(ssl.PEM_cert_to_DER_cert(pem.decode())).hexdigest())


def _context(certificate: str, key: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(certificate, key)
    return context


def _self_signed() -> Tuple[bytes, bytes]:
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import NameOID

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "krm collector")])
    now = datetime.datetime.now(datetime.timezone.utc)
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    builder = builder.serial_number(x509.random_serial_number()).not_valid_before(now - _CLOCKS)
    signed = builder.not_valid_after(now + datetime.timedelta(days=DAYS)).sign(key, hashes.SHA256())
    written = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return signed.public_bytes(serialization.Encoding.PEM), written
