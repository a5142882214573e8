"""The command lines of the Kubernetes components, and the files they name.

Sources: each command's own --help; tried with 1.36.3, 1.34.4 and 1.30.14.
"""

import json
import shutil
from pathlib import Path
from typing import List, Sequence

from controlplane.access import service_account_key

STAGES = Path(__file__).resolve().parent / "stages.yaml"
AUDIT_POLICY = {
    "apiVersion": "audit.k8s.io/v1",
    "kind": "Policy",
    "omitStages": ["RequestReceived"],
    "rules": [{"level": "Metadata"}],
}


class Files:
    """Where the components of one control plane keep what they read and write."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.tokens = folder / "tokens.csv"
        self.service_account_key = folder / "service-account.key"
        self.audit_policy = folder / "audit-policy.json"
        self.audit_log = folder / "audit.log"
        self.certificates = folder / "certificates"
        # The API server signs its own certificate and writes the signer behind it in this file.
        self.ca = self.certificates / "apiserver.crt"
        self.stages = folder / "stages.yaml"

    def write(self, token_file: str) -> None:
        self.tokens.write_text(token_file)
        self.service_account_key.write_text(service_account_key())
        self.audit_policy.write_text(json.dumps(AUDIT_POLICY))
        shutil.copyfile(str(STAGES), str(self.stages))


def apiserver(binary: Path, files: Files, port: int, etcd_url: str, audit: bool, more: Sequence[str]) -> List[str]:
    """kube-apiserver on loopback with RBAC and static tokens; `more` flags come last and so win."""
    key = str(files.service_account_key)
    command = [
        str(binary),
        f"--etcd-servers={etcd_url}",
        f"--secure-port={port}",
        "--bind-address=127.0.0.1",
        "--advertise-address=127.0.0.1",
        f"--cert-dir={files.certificates}",
        f"--token-auth-file={files.tokens}",
        "--authorization-mode=RBAC",
        "--service-account-issuer=https://krm.test",
        f"--service-account-key-file={key}",
        f"--service-account-signing-key-file={key}",
        "--service-cluster-ip-range=10.0.0.0/24",
        # A loopback address may not stand in the endpoints of the service "kubernetes".
        "--endpoint-reconciler-type=none",
        # It would refuse pods until their service accounts exist.
        "--disable-admission-plugins=ServiceAccount",
        "--profiling=false",
    ]
    if audit:
        # Blocking (the default) writes before the answer goes out, so a test finds its own requests.
        command += [f"--audit-policy-file={files.audit_policy}", f"--audit-log-path={files.audit_log}"]
        command.append("--audit-log-maxsize=10000")
    return command + list(more)


def controllers(binary: Path, files: Files, kubeconfig: Path, port: int) -> List[str]:
    """kube-controller-manager with an identity for each controller, as kubeadm runs it."""
    return [
        str(binary),
        *_client_flags(kubeconfig, port),
        "--use-service-account-credentials=true",
        f"--service-account-private-key-file={files.service_account_key}",
        f"--root-ca-file={files.ca}",
        "--kube-api-qps=500",
        "--kube-api-burst=1000",
    ]


def scheduler(binary: Path, kubeconfig: Path, port: int) -> List[str]:
    return [str(binary), *_client_flags(kubeconfig, port), "--kube-api-qps=500", "--kube-api-burst=1000"]


def kwok(binary: Path, files: Files, kubeconfig: Path, port: int) -> List[str]:
    """kwok for all nodes. It ships no stages on its command line: ours say what nodes and pods do."""
    return [
        str(binary),
        f"--kubeconfig={kubeconfig}",
        f"--config={files.stages}",
        "--manage-all-nodes=true",
        "--node-lease-duration-seconds=40",
        f"--server-address=127.0.0.1:{port}",
    ]


def _client_flags(kubeconfig: Path, port: int) -> List[str]:
    return [
        f"--kubeconfig={kubeconfig}",
        f"--authentication-kubeconfig={kubeconfig}",
        f"--authorization-kubeconfig={kubeconfig}",
        "--bind-address=127.0.0.1",
        f"--secure-port={port}",
        "--leader-elect=false",
        "--profiling=false",
    ]
