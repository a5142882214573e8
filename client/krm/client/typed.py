"""Objects of the official kubernetes package (V1Pod ...) from the JSON that krm keeps. Imports it when asked."""

from __future__ import annotations

import json
from typing import Any, Mapping

from krm.client.errors import BadObject, NeedsPackage

# Objects whose typed class in the kubernetes package is not VERSION + kind.
_NAMES = {("v1", "Event"): "CoreV1Event", ("events.k8s.io/v1", "Event"): "EventsV1Event"}


def typed(kind: str, key: str, body: Mapping[str, Any]) -> Any:
    """The typed object of a body; kind and key are for errors. Raises NeedsPackage, BadObject."""
    client = package("a typed object")
    api_version, object_kind = str(body.get("apiVersion", "")), str(body.get("kind", ""))
    version = api_version.rpartition("/")[2]
    name = _NAMES.get((api_version, object_kind), version[:1].upper() + version[1:] + object_kind)
    class_ = getattr(client, name, None)
    if class_ is None:
        raise NeedsPackage(f"the kubernetes package has no class for {api_version} {object_kind}; use to_dict()")
    try:
        if hasattr(class_, "from_dict"):  # 36 and later build their models on pydantic
            return class_.from_dict(body)
        return client.ApiClient().deserialize(_Answer(json.dumps(body)), name)
    except ValueError as error:  # what the package demands and the API server does not
        raise BadObject(kind, key, f"{name} refuses it: {str(error).splitlines()[0]}") from error


def package(what: str) -> Any:
    """kubernetes.client. Raises NeedsPackage, which says what needs it."""
    try:
        from kubernetes import client
    except ImportError:
        raise NeedsPackage(f"{what} needs the kubernetes package: pip install 'krm[cluster]'") from None
    return client


class _Answer:
    """The one attribute of a response that ApiClient.deserialize reads (up to 35)."""

    def __init__(self, data: str) -> None:
        self.data = data
