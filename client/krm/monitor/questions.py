"""Every question whose findings `krm alerts` watches: a row a method of the facade."""

from __future__ import annotations

from typing import Any, Dict, List, NamedTuple, Optional, Sequence, Tuple

from krm.analysis.alerting import Told
from krm.analysis.inputs import NotKnown
from krm.client.errors import BadRequest, KrmError
from krm.monitor.monitor import K8sResourceMonitor


class Question(NamedTuple):
    """One method."""

    method: str
    namespaced: bool = True  # it takes namespace=; else it is asked of the whole cluster alone
    thresholds: bool = False  # it takes thresholds=, those of quotas


QUESTIONS: Tuple[Question, ...] = (
    Question("detect_limit_breaches"),
    Question("get_oom_events"),
    Question("get_quota_usage", thresholds=True),
    Question("explain_pending"),
    Question("explain_hpa"),
    Question("predict_scaling"),
    Question("analyze_node_pressure", namespaced=False),  # with evictions to come
    Question("analyze_fragmentation", namespaced=False),
)


def ask_all(monitor: K8sResourceMonitor, namespace: Optional[str], thresholds: Sequence[float]) -> List[Told]:
    """One turn. A question that cannot be answered does not stop the rest. Raises BadRequest (arguments)."""
    told = []
    for question in QUESTIONS:
        if namespace is not None and not question.namespaced:
            continue
        asked: Dict[str, Any] = {"namespace": namespace} if question.namespaced else {}
        if question.thresholds:
            asked["thresholds"] = thresholds
        try:
            told.append(Told(question.method, getattr(monitor, question.method)(**asked)))
        except BadRequest:
            raise
        except (KrmError, NotKnown) as error:
            told.append(Told(question.method, None, str(error)))
    return told
