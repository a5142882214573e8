"""What a request asks for: paths, options and forms, as a table of what is said and what is meant."""

from __future__ import annotations

from typing import Callable, Dict, List, Tuple
from urllib.parse import parse_qsl

import pytest
from krm.server import options
from krm.server.negotiation import Form, accepts_gzip, clauses, form
from krm.server.paths import check_name, target
from krm.server.statuses import ApiError


def said(make: Callable[[], object]) -> str:
    """What comes of it, or `code message`."""
    try:
        return str(make())
    except ApiError as error:
        return f"{error.code} {error.message}"


def query(text: str) -> Dict[str, str]:
    return dict(parse_qsl(text, keep_blank_values=True))


# --- paths

PATHS = """
/api/v1/pods                                      pods v1
/api/v1/namespaces/a/pods                         pods v1 in a
/api/v1/namespaces/a/pods/x                       pods v1 in a named x
/api/v1/namespaces/a/pods/x/log                   pods v1 in a named x its log
/api/v1/namespaces/a/pods/x/proxy/a/b             pods v1 in a named x its proxy/a/b
/api/v1/namespaces                                namespaces v1
/api/v1/namespaces/a                              namespaces v1 named a
/api/v1/namespaces/a/                             namespaces v1 named a
/api/v1/namespaces/a/status                       namespaces v1 named a its status
/api/v1/namespaces/a/finalize                     namespaces v1 named a its finalize
/api/v1/nodes/n                                   nodes v1 named n
/apis/apps/v1/deployments                         deployments.apps v1
/apis/krm.test/v1beta1/namespaces/a/widgets/w     widgets.krm.test v1beta1 in a named w
/api/v1/watch/pods                                pods v1 watched
/api/v1/watch/namespaces/a/pods                   pods v1 in a watched
/api                                              none
/apis/apps/v1                                     none
/version                                          none
/                                                 none
"""


@pytest.mark.parametrize("row", PATHS.strip().splitlines())
def test_a_path_names(row: str) -> None:
    path, _, want = row.partition(" ")
    found = target(path)
    if found is None:
        assert want.strip() == "none"
        return
    parts = [f"{found.kind} {found.version}"]
    parts += [f"in {found.namespace}"] if found.namespace else []
    parts += [f"named {found.name}"] if found.name else []
    parts += [f"its {found.subresource}"] if found.subresource else []
    parts += ["watched"] if found.watch else []
    assert " ".join(parts) == want.strip()


@pytest.mark.parametrize("name", [".", "..", "a/b", "a%b", "x" * 2000])
def test_a_name_that_no_path_may_hold_is_400(name: str) -> None:
    assert said(lambda: check_name(name)).startswith("400 Name parameter invalid: ")


def test_any_other_name_passes() -> None:
    for name in ("", "a", "a.b", "system:x", "\u00e9", "x" * 253):
        check_name(name)


# --- options

INVALID = '422 ListOptions.meta.k8s.io "" is invalid: '
FORBIDDEN = INVALID + "resourceVersionMatch: Forbidden: "
NO_NUMBER = 'resourceVersion: Invalid value: "%s": strconv.ParseUint: parsing "%s": %s'
REFUSED = [
    ("limit=x", '400 strconv.ParseInt: parsing "x": invalid syntax'),
    ("limit=99999999999999999999", '400 strconv.ParseInt: parsing "99999999999999999999": value out of range'),
    ("timeoutSeconds=1.5", '400 strconv.ParseInt: parsing "1.5": invalid syntax'),
    ("resourceVersion=abc", "400 invalid resource version: " + NO_NUMBER % ("abc", "abc", "invalid syntax")),
    ("resourceVersion=-1", "400 invalid resource version: " + NO_NUMBER % ("-1", "-1", "invalid syntax")),
    ("watch=1&resourceVersion=abc", "500 " + NO_NUMBER % ("abc", "abc", "invalid syntax")),
    (
        "resourceVersion=99999999999999999999",
        "400 invalid resource version: " + NO_NUMBER % (("9" * 20,) * 2 + ("value out of range",)),
    ),
    (
        "resourceVersionMatch=Exact",
        FORBIDDEN + "resourceVersionMatch is forbidden unless resourceVersion is provided",
    ),
    (
        "resourceVersionMatch=Exact&resourceVersion=0",
        FORBIDDEN + 'resourceVersionMatch "exact" is forbidden for resourceVersion "0"',
    ),
    (
        "resourceVersionMatch=Foo&resourceVersion=1",
        INVALID + 'resourceVersionMatch: Unsupported value: "Foo": supported values: "Exact", "NotOlderThan", ""',
    ),
    ("sendInitialEvents=true", INVALID + "sendInitialEvents: Forbidden: sendInitialEvents is forbidden for list"),
    (
        "watch=1&sendInitialEvents=true",
        FORBIDDEN + "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan",
    ),
    (
        "watch=1&resourceVersionMatch=NotOlderThan",
        FORBIDDEN + "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided",
    ),
    ("watch=1&continue=x", FORBIDDEN + "resourceVersionMatch is forbidden when continue is provided"),
    ("continue=x&resourceVersion=5", "400 specifying resource version is not allowed when using continue"),
    ("labelSelector=a in (b", "400 unable to parse requirement: found '', expected: ',' or ')'"),
    ("fieldSelector=spec.foo=1", "400 field label not supported: spec.foo"),
    ("fieldSelector=spec.nodeName", "400 invalid selector: 'spec.nodeName'; can't understand 'spec.nodeName'"),
    (
        "includeObject=Bogus",
        '400 Unable to convert to Table as requested: includeObject: Invalid value: "Bogus":'
        " must be 'Metadata', 'Object', 'None', or empty",
    ),
]


@pytest.mark.parametrize(("text", "want"), REFUSED)
def test_options_are_refused_in_the_api_servers_words(text: str, want: str) -> None:
    assert said(lambda: options.parse("pods", query(text))) == want


ONLY = 'only "metadata.name", "metadata.namespace"'


@pytest.mark.parametrize(
    ("kind", "want"),
    [
        (
            "deployments.apps",
            '400 "spec.foo" is not a known field selector: only "metadata.name", "metadata.namespace"',
        ),
        ("jobs.batch", '400 field label "spec.foo" not supported for Job'),
        ("widgets.krm.test", "400 field label not supported: spec.foo"),
    ],
)
def test_each_kind_has_its_sentence_for_an_unknown_field(kind: str, want: str) -> None:
    assert said(lambda: options.parse(kind, {"fieldSelector": "spec.foo=1"})) == want


@pytest.mark.parametrize("kind", ["nodes", "namespaces"])
def test_nodes_and_namespaces_are_not_selected_by_a_namespace(kind: str) -> None:
    want = "400 field label not supported: metadata.namespace"
    assert said(lambda: options.parse(kind, {"fieldSelector": "metadata.namespace=a"})) == want
    options.parse("priorityclasses.scheduling.k8s.io", {"fieldSelector": "metadata.namespace=a"})


TAKEN: List[Tuple[str, Dict[str, object]]] = [
    ("", {"watch": False, "limit": 0, "timeout": None, "bookmarks": False, "include": "Metadata", "version": 0}),
    ("limit=-1&resourceVersion=0", {"limit": 0, "resource_version": "0"}),
    ("resourceVersion=007", {"resource_version": "7", "version": 7}),
    ("watch=bogus", {"watch": True}),
    ("watch=false", {"watch": False}),
    ("watch=0", {"watch": False}),
    ("watch", {"watch": True}),
    ("watch=1&timeoutSeconds=0", {"timeout": None}),
    ("watch=1&timeoutSeconds=-1", {"timeout": -1.0}),
    ("watch=1&allowWatchBookmarks=true", {"bookmarks": True}),
    ("labelSelector=&fieldSelector=", {"selects": False}),
    ("fieldSelector=metadata.name=x,,", {"selects": True}),
    ("foo=bar", {"selects": False}),
]


@pytest.mark.parametrize(("text", "want"), TAKEN)
def test_options_are_taken_as_the_api_server_takes_them(text: str, want: Dict[str, object]) -> None:
    found = options.parse("pods", query(text))
    assert {name: getattr(found, name) for name in want} == want


# --- forms

AS = "application/json;g=meta.k8s.io;v=%s;as=%s"
FORMS = [
    ("", "json"),
    ("*/*", "json"),
    ("application/json", "json"),
    ("application/json;stream=watch", "json"),
    ("application/vnd.kubernetes.protobuf,application/json", "json"),
    ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", "json"),
    (AS % ("v1", "Table") + "," + AS % ("v1beta1", "Table") + ",application/json", "Table v1"),
    (AS % ("v1beta1", "Table"), "Table v1beta1"),
    (AS % ("v2", "Table") + ",application/json", "json"),
    (AS % ("v1", "PartialObjectMetadataList"), "PartialObjectMetadata v1"),
    (AS % ("v2", "Table"), "406 only the following media types are accepted: "),
    (AS % ("v1", "Bogus"), "406 only the following media types are accepted: "),
    (
        AS % ("v1", "PartialObjectMetadata"),
        "406 you requested PartialObjectMetadata, but the requested object is a list",
    ),
    ("application/vnd.kubernetes.protobuf", "406 406: Not Acceptable"),
    ("application/yaml", "406 406: Not Acceptable"),
    ("text/html", "406 406: Not Acceptable"),
    ("garbage;;;", "406 406: Not Acceptable"),
    ("," * 9000, "406 406: Not Acceptable"),
    ("a," * 100, "406 406: Not Acceptable"),
]


@pytest.mark.parametrize(("accept", "want"), FORMS)
def test_the_form_of_a_list(accept: str, want: str) -> None:
    def made() -> str:
        found: Form = form(accept, True, False, "*core.PodList")
        return f"{found.name} {found.version}".strip()

    assert said(made).startswith(want)


def test_better_quality_comes_first_and_equal_ones_as_written() -> None:
    found = clauses("application/json;q=0.1,application/yaml,text/plain;q=x")
    assert [one.media for one in found] == ["application/yaml", "application/json", "text/plain"]


@pytest.mark.parametrize(
    ("header", "want"),
    [("gzip", True), ("deflate, gzip;q=1.0", True), ("*", True), ("", False), ("gzip;q=0", False), ("br", False)],
)
def test_gzip_is_sent_to_who_takes_it(header: str, want: bool) -> None:
    assert accepts_gzip(header) is want
