"""Selectors accept and match as the API server does, and end hostile input by type."""

from __future__ import annotations

from typing import Dict

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from krm.model.selectors import SELECTABLE, BadSelector, UnknownField, parse_fields, parse_labels

LABELS = {"app": "web", "tier": "", "example.com/team": "shop", "gen": "7"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", True), (" ", True), ("app", True), ("!app", False), ("missing", False), ("!missing", True),
        ("! missing", True),
        ("app=web", True), ("app==web", True), ("app = web", True), ("app!=web", False), ("app!=api", True),
        ("missing!=x", True),
        ("tier=", True), ("tier", True), ("tier!=", False), ("app=", False), ("missing=", False), ("app=,tier",
        False),
        ("app in (web,api)", True), ("app in(api)", False), ("app notin (api)", True), ("missing notin (a)", True),
        ("missing in (a)", False), ("tier in (,a)", True), ("tier in ()", True), ("tier in (a,)", True),
        ("app notin ()", True),
        ("app in (web),tier", True), ("app=web,tier=x", False), ("example.com/team=shop", True), ("gen>6",
        True), ("gen>7", False),
        ("gen < 8", True), ("app > 1", False), ("missing<1", False), ("in=web", False), ("app in (in,web)", True),
        ("notin notin (in)", True), ("app\tin\n(web)", True),
    ],
)  # fmt: skip
def test_label_selectors_match_as_kubernetes_says(text: str, expected: bool) -> None:
    assert parse_labels(text).matches(LABELS) is expected


@pytest.mark.parametrize(
    "text",
    [
        ",", "app,", ",app", "app,,tier", "!", "!!app", "!app=web", "app in", "app in web", "app in (web",
        "app in web)", "app in (a b)",
        "app=web=x", "app===x", "app=(web)", "(app)", "app web", "app=a b", "-app", "app-", "a/b/c", "/app",
        "Example.com/app",
        "app=-x", "app=x-", "a" * 64, "app=" + "x" * 64, "é", "app=é", "app\u00a0", "x" * 254 + "/app",
        "gen>a", "gen>", "app=!x",
        "app=>1", "app in (a;b)", "app\x00",
    ],
)  # fmt: skip
def test_what_the_api_server_refuses_is_refused(text: str) -> None:
    with pytest.raises(BadSelector):
        parse_labels(text)


def test_hostile_selectors_end_by_type_and_soon() -> None:
    for text in (
        "a" * 1_000_000,
        "a," * 10_000 + "a",
        "(" * 100_000,
        "a in (" + "b," * 10_000 + "b)",
        "!" * 200_000,
    ):
        with pytest.raises(BadSelector) as caught:
            parse_labels(text)
        assert len(str(caught.value)) < 300
        with pytest.raises(BadSelector):
            parse_fields("pods", text)


@given(st.text(alphabet="a1=!,() in<>-./\t\\é", max_size=14))
@settings(max_examples=500, deadline=None, print_blob=True)
def test_any_text_is_a_selector_or_a_bad_one(text: str) -> None:
    for parse in (parse_labels, lambda one: parse_fields("pods", one)):
        try:
            parse(text)
        except BadSelector:
            pass


@given(st.dictionaries(st.sampled_from(["app", "tier", "gen"]), st.sampled_from(["", "web", "x1"])))
def test_a_selector_and_its_negation_never_agree(labels: Dict[str, str]) -> None:
    for positive, negative in (("app", "!app"), ("app=web", "app!=web"), ("tier in (web,)", "tier notin (web,)")):
        assert parse_labels(positive).matches(labels) != parse_labels(negative).matches(labels)


def test_field_selectors_read_the_stored_fields() -> None:
    fields = ("node-1", "Always", "default-scheduler", "default", "false", "Running", "10.1.0.7", "", "")
    for text, expected in {
        "": True,
        "metadata.name=web-0": True,
        "metadata.name!=web-0": False,
        "metadata.namespace==shop,status.phase=Running": True,
        "status.phase!=Running": False,
        "spec.nodeName=": False,
        "status.nominatedNodeName=": True,
        "spec.hostNetwork=false,": True,
        "status.podIPs=10.1.0.7": False,
        "metadata.name=web\\,0": False,
    }.items():
        assert parse_fields("pods", text).matches("shop", "web-0", fields) is expected, text


def test_escapes_in_field_values() -> None:
    assert parse_fields("widgets.example.com", r"metadata.name=a\,b\=c\\d").matches("", r"a,b=c\d", ())
    for text in (
        r"metadata.name=a=b",
        r"metadata.name=a\d",
        "metadata.name=a\\",
        "metadata.name",
        "=x",
        "metadata.name>1",
    ):
        with pytest.raises(BadSelector):
            parse_fields("widgets.example.com", text)


def test_an_unknown_field_names_the_allowed_ones() -> None:
    with pytest.raises(UnknownField, match=r"spec\.unschedulable") as caught:
        parse_fields("nodes", "spec.nodeName=x")
    assert "field label not supported: spec.nodeName" in str(caught.value)
    for kind in [*SELECTABLE, "deployments.apps"]:
        for name in (*SELECTABLE.get(kind, ()), "metadata.name", "metadata.namespace"):
            if name != "metadata.namespace" or kind not in ("nodes", "namespaces"):
                parse_fields(kind, name + "=x")


def test_what_is_no_label_is_shown_with_its_quotes_escaped() -> None:
    """As in `kubectl get -l 'app="web"'`."""
    with pytest.raises(BadSelector) as caught:
        parse_labels('app="web"')
    assert str(caught.value).startswith(
        r'unable to parse requirement: values[0][app]: Invalid value: "\"web\"": a valid label must be'
    )
