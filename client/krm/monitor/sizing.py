"""Recommendations: the history is read one namespace after another, so that a day of all is never held at once."""

from __future__ import annotations

from typing import List, Optional, Sequence

from krm.analysis.inputs import State
from krm.analysis.sizing import recommendations as question
from krm.analysis.sizing.own import TARGETS
from krm.analysis.sizing.recommendations import Asked, Known, Recommendations
from krm.analysis.sizing.strategies import STRATEGIES
from krm.client.client import Client
from krm.client.errors import BadRequest
from krm.model.selectors import BadSelector
from krm.monitor import arguments
from krm.monitor.gather import gather_each


def recommend(
    client: Client, namespace: Optional[str], target: str, strategy: str, selector: str
) -> Recommendations:
    """Raises BadRequest; KrmError where pods cannot be read."""
    arguments.one_of(target, TARGETS, "optimization_target")
    arguments.one_of(strategy, STRATEGIES, "strategy")
    asked = Asked(namespace, target, strategy, selector)
    try:
        asked.labels  # noqa: B018 (it is read for its error)
    except BadSelector as error:
        raise BadRequest(f"selector={selector!r}: {error}") from None
    known: List[Known] = []

    def names(state: State) -> Sequence[str]:
        known.append(question.known_of(state))
        return [namespace] if namespace else question.namespaces_of(known[0])

    found: List[Recommendations] = []
    for name, inputs in gather_each(client, question.needs(asked), names):
        found.append(question.answer(inputs, asked._replace(namespace=name or None), known[0]))
    return question.joined(found, asked)
