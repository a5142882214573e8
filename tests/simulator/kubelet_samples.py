"""Read the pages of simulated kubelets as Prometheus would."""

from __future__ import annotations

import shutil
from typing import Dict, Tuple

import pytest
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

T0 = 1_800_000_000.0  # when everything in these tests begins, Unix seconds
RESOURCE, CADVISOR, SUMMARY = "/metrics/resource", "/metrics/cadvisor", "/stats/summary"
needs_openssl = pytest.mark.skipif(shutil.which("openssl") is None, reason="no openssl: apt-get install openssl")
Key = Tuple[str, Tuple[Tuple[str, str], ...]]


class Clock:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.now = T0

    def __call__(self) -> float:
        return self.now


def samples(page: bytes) -> Dict[Key, Sample]:
    """A page as prometheus-client reads it: each series once."""
    found: Dict[Key, Sample] = {}
    for family in text_string_to_metric_families(page.decode()):
        for sample in family.samples:
            key = (sample.name, tuple(sorted(sample.labels.items())))
            assert key not in found, key
            found[key] = sample
    return found


def of(page: bytes, name: str, /, **labels: str) -> Sample:
    """The one sample of that name and exactly these labels."""
    return samples(page)[(name, tuple(sorted(labels.items())))]
