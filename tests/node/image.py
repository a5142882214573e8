"""A container image of one busybox, as an OCI archive: no registry is asked for anything."""

import gzip
import hashlib
import io
import json
import tarfile
from pathlib import Path
from typing import Any, Dict, List

NAME = "krm.test/busybox:1"
# What pods run by name; each is a link to busybox.
COMMANDS = ("sh", "sleep", "dd", "head", "cat", "true", "tail", "wget", "seq")


def write(busybox: Path, archive: Path) -> None:
    """`archive`: an OCI layout with NAME, made of the static program `busybox`."""
    unpacked = layer(busybox)
    packed = gzip.compress(unpacked, 1, mtime=0)
    config = {
        "architecture": "amd64",
        "os": "linux",
        # What a pod's sandbox runs, which only has to stay; containers name commands of their own.
        "config": {"Env": ["PATH=/bin"], "Cmd": ["/bin/sleep", "2147483647"]},
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{hashlib.sha256(unpacked).hexdigest()}"]},
    }
    blobs: List[bytes] = []

    def descriptor(kind: str, content: bytes) -> Dict[str, Any]:
        blobs.append(content)
        return {
            "mediaType": f"application/vnd.oci.image.{kind}",
            "digest": f"sha256:{hashlib.sha256(content).hexdigest()}",
            "size": len(content),
        }

    manifest = {
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": descriptor("config.v1+json", json.dumps(config).encode()),
        "layers": [descriptor("layer.v1.tar+gzip", packed)],
    }
    entry = descriptor("manifest.v1+json", json.dumps(manifest).encode())
    entry["annotations"] = {"io.containerd.image.name": NAME}
    with tarfile.open(str(archive), "w") as tar:
        _add(tar, "oci-layout", b'{"imageLayoutVersion": "1.0.0"}')
        _add(tar, "index.json", json.dumps({"schemaVersion": 2, "manifests": [entry]}).encode())
        for blob in blobs:
            _add(tar, f"blobs/sha256/{hashlib.sha256(blob).hexdigest()}", blob)


def layer(busybox: Path) -> bytes:
    """A root file system of the static program `busybox`, as an uncompressed tar."""
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as tar:
        for name in ("bin", "etc", "tmp"):
            folder = tarfile.TarInfo(name)
            folder.type, folder.mode = tarfile.DIRTYPE, 0o755
            tar.addfile(folder)
        _add(tar, "bin/busybox", busybox.read_bytes(), 0o755)
        for name in COMMANDS:
            link = tarfile.TarInfo(f"bin/{name}")
            link.type, link.linkname = tarfile.SYMTYPE, "busybox"
            tar.addfile(link)
    return content.getvalue()


def _add(tar: tarfile.TarFile, name: str, content: bytes, mode: int = 0o644) -> None:
    info = tarfile.TarInfo(name)
    info.size, info.mode = len(content), mode
    tar.addfile(info, io.BytesIO(content))
