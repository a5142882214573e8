"""What krm keeps of a kubelet's own settings: by what it evicts, and how many pods it takes. Pure values.

A kubelet shows them at /configz, as a KubeletConfiguration with its defaults filled in.
"""

from __future__ import annotations

from typing import Any, Dict, Mapping, NamedTuple, Optional, Tuple

from krm.model.reading import mapping, text, texts

_MOST_SIGNALS = 20  # a kubelet knows eight
_MOST_TEXT = 64  # characters of a quantity or a time


class KubeletConfig(NamedTuple):
    """In the kubelet's own words: signal -> `100Mi`, `10%`, `1m30s`. {} = it says that there is none."""

    hard: Mapping[str, str]
    soft: Mapping[str, str] = {}
    soft_grace: Mapping[str, str] = {}
    minimum_reclaim: Mapping[str, str] = {}
    pressure_transition: str = ""  # a condition lasts at least so long: `5m0s`; '' = not told
    max_pods: Optional[int] = None
    enforced: Tuple[str, ...] = ()  # enforceNodeAllocatable: `pods` limits all pods together


class NodeKubelet(NamedTuple):
    """Of one node; config None = not known, and `why` says so in a sentence."""

    node: str
    config: Optional[KubeletConfig]
    at: Optional[float] = None  # Unix seconds by the collector's clock, when it was read
    why: str = ""


def config_of(page: Any) -> Optional[KubeletConfig]:
    """`page`: /configz, decoded. None where it is none."""
    told = mapping(page).get("kubeletconfig")
    if not isinstance(told, dict):
        return None
    pods = told.get("maxPods")
    return KubeletConfig(
        _texts(told.get("evictionHard")),
        _texts(told.get("evictionSoft")),
        _texts(told.get("evictionSoftGracePeriod")),
        _texts(told.get("evictionMinimumReclaim")),
        text(told.get("evictionPressureTransitionPeriod"))[:_MOST_TEXT],
        pods if isinstance(pods, int) and not isinstance(pods, bool) and pods >= 0 else None,
        tuple(texts(told.get("enforceNodeAllocatable"))[:_MOST_SIGNALS]),
    )


def _texts(value: Any) -> Dict[str, str]:
    told = [(name, one) for name, one in mapping(value).items() if isinstance(name, str) and isinstance(one, str)]
    return {name[:_MOST_TEXT]: one[:_MOST_TEXT] for name, one in sorted(told)[:_MOST_SIGNALS]}
