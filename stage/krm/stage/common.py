"""Settings that several stages share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Tuple

from krm.model.kinds import DEFAULT_KINDS
from krm.stage.settings import parse_choice, parse_flag, parse_kinds, parse_names, setting

LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR")


@dataclass(frozen=True)
class Process:
    """What every process needs."""

    redis: str = setting("redis://127.0.0.1:6379/0", "URL of the Redis.")
    cluster: str = setting("default", "Name of the cluster, as keys carry it.")
    namespaces: Tuple[str, ...] = setting((), "Keep only these namespaces, a pipeline each.", parse_names)
    metrics_port: int = setting(0, "Port of /metrics, /livez and /readyz; 0 = none.", int)
    metrics_address: str = setting("127.0.0.1", "Address that this port is bound to.")
    log_level: str = setting(
        "INFO", "DEBUG, INFO, WARNING or ERROR.", parse_choice("DEBUG", "INFO", "WARNING", "ERROR")
    )


@dataclass(frozen=True)
class Common(Process):
    """What every stage of the pipeline needs."""

    kinds: Tuple[str, ...] = setting(
        tuple(map(str, DEFAULT_KINDS)), "Kinds, as RESOURCE or RESOURCE.GROUP.", parse_kinds, positional=True
    )


@dataclass(frozen=True)
class Credentials:
    """Who krm is to an API server."""

    kubeconfig: str = setting("", "Kubeconfig file; without one KUBECONFIG, then ~/.kube/config.")
    context: str = setting("", "Context of the kubeconfig; without one its current context.")
    in_cluster: bool = setting(False, "Use the pod's service account.", parse_flag)


@dataclass(frozen=True)
class FromApiServer(Credentials, Common):
    """What a stage that reads from an API server needs besides."""

    env_values: str = setting(
        "redact", "What becomes of environment values in pod specs: redact or keep.", parse_choice("redact", "keep")
    )
