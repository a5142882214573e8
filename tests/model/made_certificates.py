"""Objects of certificates.k8s.io in a real API server: asked for, approved, denied, failed and issued."""

from __future__ import annotations

import base64
import tempfile
from pathlib import Path
from typing import Any, Dict, List, Sequence, Tuple

from authorities import Authority
from controlplane.kubeapi import KubeClient
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from model.made import NAMESPACE, conditions, post

_SIGNER = "krm.test/signer"
_KEY = ec.generate_private_key(ec.SECP256R1())
_REQUESTS = "/apis/certificates.k8s.io/v1/certificatesigningrequests"
_BUNDLES = "/apis/certificates.k8s.io/v1beta1/clustertrustbundles"
_OF_PODS = f"/apis/certificates.k8s.io/v1beta1/namespaces/{NAMESPACE}/podcertificaterequests"
# What was said of a request, and whether it was issued.
_FATES: List[Tuple[Sequence[str], bool]] = [
    ((), False),
    (("Approved",), False),
    (("Denied",), False),
    (("Approved",), True),
    (("Approved", "Failed"), False),
]


def make_certificates(admin: KubeClient) -> None:
    """All of them."""
    with tempfile.TemporaryDirectory() as folder:
        pem = Authority(Path(folder), "krm-test").pem
    request = {"request": _coded(_request().public_bytes(serialization.Encoding.PEM)), "signerName": _SIGNER}
    for number, (said, issued) in enumerate(_FATES):
        # Days, hours, minutes: 600 s is the least.
        spec = {**request, "usages": ["client auth"], **({"expirationSeconds": 600 * 9**number} if number else {})}
        post(admin, _REQUESTS, "CertificateSigningRequest", f"krm-{number}", {"spec": spec})
        found = admin.get(f"{_REQUESTS}/krm-{number}")
        found["status"] = {"conditions": _said(one for one in said if one != "Failed")}
        found = admin.replace(f"{_REQUESTS}/krm-{number}/approval", found)
        found["status"] = {
            "conditions": found["status"].get("conditions", []) + _said(one for one in said if one == "Failed"),
            **({"certificate": _coded(pem)} if issued else {}),
        }
        admin.replace(f"{_REQUESTS}/krm-{number}/status", found)
    bundle = {"trustBundle": pem.decode()}
    post(admin, _BUNDLES, "ClusterTrustBundle", "krm-0", {"spec": bundle})
    signed = {"spec": {**bundle, "signerName": _SIGNER}}
    post(admin, _BUNDLES, "ClusterTrustBundle", "krm.test:signer:1", signed)
    for number, told in enumerate(({}, {"krm.test/a": "1", "krm.test/a-b": "2"})):
        post(admin, _OF_PODS, "PodCertificateRequest", f"krm-{number}", {"spec": _of_pod(told)})
    denied = {"status": {"conditions": _said(["Denied"])}}
    admin.patch(f"{_OF_PODS}/krm-1/status", denied)


def _of_pod(told: Dict[str, str]) -> Dict[str, Any]:
    """What a kubelet asks for a pod: with a key, and the proof that it has it."""
    uid = "1b4e28ba-2fa1-11d2-883f-0016d3cca427"
    return {
        "signerName": _SIGNER, "podName": "p-1", "podUID": uid, "serviceAccountName": "default",
        "serviceAccountUID": uid, "nodeName": "krm-model-1", "nodeUID": uid, "maxExpirationSeconds": 3600,
        "stubPKCS10Request": _coded(_request().public_bytes(serialization.Encoding.DER)),
        "unverifiedUserAnnotations": told,
    }  # fmt: skip


def _request() -> x509.CertificateSigningRequest:
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "krm-test")])
    return x509.CertificateSigningRequestBuilder().subject_name(subject).sign(_KEY, hashes.SHA256())


def _said(kinds: Any) -> List[Dict[str, Any]]:
    return [{**one, "reason": "R", "message": "m"} for one in conditions(*kinds)]


def _coded(raw: bytes) -> str:
    return base64.b64encode(raw).decode()
