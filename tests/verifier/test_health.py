"""What reports tell of the API server's refusals, with two requests that fail in ways of their own."""

from __future__ import annotations

from typing import Tuple, Type

import pytest
from krm.cluster.errors import (
    ClusterError,
    Forbidden,
    NotFound,
    OutOfScope,
    ServerError,
    TooManyRequests,
    Unreachable,
)
from krm.model.head import Head
from krm.verifier.health import LIST, PROBE, Health

Told = Tuple[str, Type[ClusterError]]


def of(*told: Told) -> Health:
    health = Health()
    for request, error in told:
        health.failed(request, error("no") if error is not TooManyRequests else TooManyRequests("no", 1.0))
    return health


@pytest.mark.parametrize("other", [Unreachable, ServerError, TooManyRequests])
@pytest.mark.parametrize(("request_", "beside"), [(LIST, PROBE), (PROBE, LIST)])
def test_what_is_forbidden_is_told_whatever_else_fails(
    request_: str, beside: str, other: Type[ClusterError]
) -> None:
    for health in (of((request_, Forbidden), (beside, other)), of((beside, other), (request_, Forbidden))):
        assert health.error == "Forbidden"
        health.failed(request_, other("away") if other is not TooManyRequests else TooManyRequests("later", 1.0))
        assert health.error == "Forbidden"  # an API server that is away gives no rights back
        health.succeeded(beside)
        assert health.error == "Forbidden"
        health.succeeded(request_)
        assert health.error == ""


@pytest.mark.parametrize(("first", "second"), [(LIST, PROBE), (PROBE, LIST)])
def test_each_request_clears_its_own_error_alone(first: str, second: str) -> None:
    health = of((first, Unreachable))
    health.succeeded(second)
    assert health.error == "Unreachable"
    health.failed(second, ServerError("no"))
    health.succeeded(first)
    assert health.error == "ServerError"


def test_a_kind_that_is_absent_stays_so_until_it_is_found() -> None:
    health = of((LIST, NotFound), (PROBE, Forbidden))
    health.unserved = True
    assert health.error == "NotFound"
    health.failed(LIST, Unreachable("away"))
    assert health.error == "NotFound"
    health.unserved = False  # as discovered
    assert health.error == "Forbidden"


def test_rights_that_are_gone_after_a_kind_was_absent_and_the_other_way_round() -> None:
    assert of((LIST, Forbidden), (LIST, NotFound)).error == "NotFound"
    assert of((LIST, NotFound), (LIST, Forbidden)).error == "Forbidden"
    assert of((LIST, OutOfScope), (LIST, Unreachable)).error == "OutOfScope"


def test_a_restart_takes_back_nothing_before_an_answer_came() -> None:
    health = Health()
    health.begin(Head(list_error="NotFound", unserved=True))
    assert (health.error, health.unserved) == ("NotFound", True)
    health.succeeded(LIST)
    health.begin(Head(list_error="Forbidden"))
    assert health.error == ""
    asked = of((LIST, Unreachable))
    asked.begin(Head(list_error="Forbidden"))
    assert asked.error == "Unreachable"
