"""Write a kubeconfig for the simulator, and the certificate that TLS needs."""

from __future__ import annotations

import base64
import json
import os
import shutil
import ssl
import subprocess
from pathlib import Path
from typing import Optional, Tuple

from .wire import Object


def write_kubeconfig(path: Path, url: str, token: str = "", ca: Optional[Path] = None, name: str = "paper") -> None:
    """JSON, which every YAML reader takes. Replaced whole, readable by its owner alone."""
    cluster: Object = {"server": url}
    if ca is not None:
        cluster["certificate-authority-data"] = base64.b64encode(ca.read_bytes()).decode()
    content = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": name,
        "clusters": [{"name": name, "cluster": cluster}],
        "users": [{"name": name, "user": {"token": token} if token else {}}],
        "contexts": [{"name": name, "context": {"cluster": name, "user": name}}],
    }
    partial = path.with_name(path.name + ".partial")
    descriptor = os.open(str(partial), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as out:
        json.dump(content, out, indent=1)
        out.write("\n")
    os.replace(str(partial), str(path))


def make_certificate(folder: Path) -> Tuple[Path, Path]:
    """(certificate, key) for 127.0.0.1 and localhost, by the openssl command. RuntimeError where it is missing."""
    openssl = shutil.which("openssl")
    if openssl is None:
        raise RuntimeError("TLS needs the openssl command, or --tls-cert and --tls-key")
    certificate, key = folder / "simulator.crt", folder / "simulator.key"
    subprocess.run(
        [
            openssl,
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-nodes",
            "-days",
            "30",
            "-subj",
            "/CN=krm-simulator",
            "-addext",
            "subjectAltName=IP:127.0.0.1,DNS:localhost",
            "-keyout",
            str(key),
            "-out",
            str(certificate),
        ],
        check=True,
        capture_output=True,
    )
    return certificate, key


def server_context(certificate: Path, key: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(str(certificate), str(key))
    return context
