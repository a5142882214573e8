"""A namespace's page: hand-computed sums, what is unknown stays unknown, hostile names harm no format."""

from __future__ import annotations

import math
import random
import re
from html.parser import HTMLParser
from typing import Any, Dict, List, Optional, Tuple
from xml.etree import ElementTree

import pytest
from krm.analysis.inputs import History, Inputs, Kills, Newest, NotKnown, Reading, Sum, Track, Which
from krm.analysis.report.charts import BINS, binned
from krm.analysis.report.namespace import COSTS, Asked, answer, needs
from krm.analysis.report.page import as_html
from krm.analysis.report.rows import NamespaceReport
from krm.analysis.report.text import as_markdown, as_text, marked
from krm.model.kills import CONTAINER_LIMIT, Kill
from krm.model.measures import Subject
from paper_findings import DAY, NOW, STEP, inputs, named, pod, quota, series

CPU, MEMORY = "cpu/usage_rate", "memory/working_set"
MIB = 1024 * 1024
HOUR = 3600.0


def running(name: str, node: str = "n1", ready: bool = True, restarts: int = 0, **spec: Any) -> Dict[str, Any]:
    """Of the Deployment web, with a request of 200m and 100Mi, a limit of 400m and 200Mi."""
    made = pod(name, requests={"cpu": "200m", "memory": "100Mi"}, limits={"cpu": "400m", "memory": "200Mi"}, **spec)
    made["metadata"]["ownerReferences"] = [
        {"apiVersion": "apps/v1", "kind": "StatefulSet", "name": "web", "controller": True, "uid": "x"}
    ]
    made["spec"]["nodeName"] = node
    made["status"] = {
        "phase": "Running",
        "conditions": [{"type": "Ready", "status": "True" if ready else "False"}],
        "containerStatuses": [{"name": "app", "ready": ready, "restartCount": restarts, "state": {"running": {}}}],
    }
    return made


def waiting(name: str, said: str = "0/3 nodes are available") -> Dict[str, Any]:
    made = pod(name, requests={"cpu": "9"})
    made["metadata"]["creationTimestamp"] = "2027-01-15T07:59:00Z"  # a minute before NOW
    made["status"] = {
        "phase": "Pending",
        "conditions": [{"type": "PodScheduled", "status": "False", "message": said}],
    }
    return made


def of(name: str, cpu: Tuple[float, float], memory: Tuple[float, float], uid: str = "") -> Dict[Which, Sum]:
    """(mean, maximum) of its container; memory in MiB."""
    subject = Subject("shop", name, uid or f"uid-{name}", "app", "n1")
    return {
        (CPU, "container"): Sum(subject, *cpu, 3600.0),
        (MEMORY, "container"): Sum(subject, memory[0] * MIB, memory[1] * MIB, 3600.0),
    }


def reading(name: str, cpu: float, memory: float) -> Reading:
    return Reading(
        Subject("shop", name, "", "app", "n1"),
        {CPU: cpu, MEMORY: memory * MIB},
        NOW - 2,
        15.0,
        "kubelet/resource",
        "",
    )


def made_of(
    pods: List[Any], sums: Any = (), tracks: Any = None, newest: Any = (), kills: Any = (), **more: Any
) -> Inputs:
    """sums: of `of`. tracks: metric -> values of the namespace, the last one now."""
    found = inputs(
        {
            "pods": pods,
            "resourcequotas": more.pop("quotas", []),
            "namespaces": [named("shop")],
            **more.pop("kinds", {}),
        },
        newest=Newest({"container": list(newest), "pod": [], "namespace": []}),
        kills=kills if isinstance(kills, Kills) else Kills(tuple(kills)),
        **more,
    )
    by: Dict[Which, List[Sum]] = {}
    for one in sums:
        for which, row in one.items():
            by.setdefault(which, []).append(row)
    lines: Dict[Which, List[Track]] = {
        (metric, "namespace"): [series(Subject("shop"), values)] for metric, values in (tracks or {}).items()
    }
    return found._replace(history=History(NOW - DAY, NOW, lines, {}, NOW - 30 * DAY, (), by))


def test_sums_by_hand() -> None:
    """Two pods of 200m: 100 and 300 used on average: 400 of 400 requested, 100 wasted by the first alone.

    Of the namespace as a whole 400m on average, at most 600m, as it was measured together.
    Memory: 50 and 60 of 100 MiB each: 110 of 200, 50 + 40 wasted; the nearest to its limit was at 180 of 200 MiB.
    """
    report = answer(
        made_of(
            [running("web-0"), running("web-1", ready=False, restarts=3), waiting("web-2")],
            [of("web-0", (100, 380), (50, 180)), of("web-1", (300, 400), (60, 61))],
            {CPU: [300.0, 600.0, 300.0], MEMORY: [math.nan, 200.0 * MIB, 110.0 * MIB]},
            [reading("web-0", 120, 55), reading("web-1", 80, 60)],
        ),
        Asked("shop"),
    )
    cpu, memory = report.totals
    assert (cpu.now, cpu.mean, cpu.peak, cpu.requested, cpu.limit) == (200, 400, 600, 400, 800)
    assert (cpu.share, cpu.wasted, cpu.nearest, cpu.unlimited) == (1.0, 100, 1.0, 0)
    assert (memory.mean, memory.peak, memory.requested) == (155 * MIB, 200 * MIB, 200 * MIB)
    assert (memory.share, memory.wasted, memory.nearest) == (0.55, 90 * MIB, 0.9)
    assert str(cpu.covers) == "2 of 2 requests"
    (alone, web) = report.rows
    assert (alone.name, alone.pods, alone.ready, alone.cpu.mean) == ("pod/web-2", 1, 0, None)
    assert (web.name, web.pods, web.ready, web.restarts, web.kills) == ("statefulset.apps/web", 2, 1, 3, 0)
    assert web.cpu.peak == 400
    assert report.statuses == (("Running", 2), ("Pending", 1))
    assert [(one.pod, one.waits, one.said) for one in report.waiting] == [
        ("web-2", 60.0, "0/3 nodes are available")
    ]
    assert report.lacks[-1] == COSTS
    assert report.cost is None


def test_what_is_not_measured_is_not_0() -> None:
    report = answer(
        made_of([running("web-0"), running("web-1")], [of("web-0", (100, 200), (50, 60))]), Asked("shop")
    )
    cpu = report.totals[0]
    assert (cpu.now, cpu.mean, cpu.requested, str(cpu.covers)) == (None, 100, 400, "1 of 2 requests")
    assert (cpu.share, cpu.wasted) == (0.5, 100)
    assert cpu.peak is None
    assert report.charts == ()
    nothing = answer(made_of([running("web-0")], kills=Kills((), "absent", ("no collector",))), Asked("shop"))
    assert (nothing.kills, nothing.rows[0].kills) == (None, None)
    assert nothing.totals[0].mean is None


def test_a_pod_of_the_same_name_that_was_before_is_not_this_one() -> None:
    sums = [of("web-0", (100, 200), (50, 60)), of("web-0", (999, 999), (999, 999), uid="before")]
    for order in (sums, sums[::-1]):
        assert answer(made_of([running("web-0")], order), Asked("shop")).totals[0].mean == 100


def test_no_history_and_a_short_one_are_told() -> None:
    base = made_of([running("web-0")])
    none = answer(base._replace(history=History(NOW - DAY, NOW, {})), Asked("shop"))
    assert "there is no history: means, peaks and charts are not known" in none.lacks
    short = answer(base._replace(history=History(NOW - DAY, NOW, {}, since=NOW - HOUR)), Asked("shop"))
    assert "history since 2027-01-15T07:00:00Z: the window begins before it" in short.lacks


def test_without_quotas_or_pods() -> None:
    found = made_of([])
    state = found.state.kinds.copy()  # type: ignore[attr-defined]
    del state["resourcequotas"]
    unknown = answer(
        found._replace(state=type(found.state)(state, found.state.trust, {"resourcequotas": "no"})), Asked("shop")
    )
    assert unknown.quotas is None
    assert "Quotas are not known." in as_text(unknown)
    assert unknown.totals[0].requested == 0
    assert "no pod is in this namespace" in as_text(unknown)
    with pytest.raises(NotKnown):
        answer(inputs({"nodes": []}), Asked("shop"))
    assert any("is not in the cluster" in one for one in answer(made_of([]), Asked("other")).lacks)


def test_what_is_merely_worth_knowing_is_counted() -> None:
    quotas = [quota("q", {"pods": "10", "cpu": "4"}, {"pods": "9", "cpu": "1"})]
    report = answer(made_of([running("web-0")], newest=[reading("web-0", 250, 50)], quotas=quotas), Asked("shop"))
    text = as_text(report)
    assert "90% of pods of quota shop/q are used" in text
    assert f"{len(report.findings) - 1} findings of severity info are in -o json." in text
    assert {one.severity for one in report.findings} == {"warning", "info"}


def test_kills_of_the_window_and_of_this_namespace_alone() -> None:
    def kill(at: float, namespace: str = "shop", name: str = "web-0") -> Kill:
        return Kill(f"k{at}", "n1", at, at, "", "", namespace, name, "app", 1, "java", None, CONTAINER_LIMIT)

    kills = [kill(NOW - 10), kill(NOW - 2 * HOUR), kill(NOW - 5, "other"), kill(NOW - 20, name="gone")]
    report = answer(made_of([running("web-0")], kills=kills), Asked("shop", HOUR))
    assert report.kills is not None
    assert [(one.at, one.pod) for one in report.kills] == [(NOW - 10, "web-0"), (NOW - 20, "gone")]
    assert report.rows[0].kills == 1
    assert [one.rule for one in report.findings if "oom" in one.rule] == ["oom-kill", "oom-kill"]


def test_a_chart_is_means_of_equal_parts_with_its_gaps() -> None:
    points = [(NOW - 900.0 * part, float(part)) for part in range(BINS) if part != 3]
    bins = binned(points, NOW, DAY)
    assert len(bins) == BINS
    assert bins[-1] == (NOW, 0.0)
    assert bins[-4] == (NOW - 2700.0, None)
    assert bins[-5][1] == 4.0
    assert binned([(NOW - 20, 1.0), (NOW - 10, 3.0)], NOW, 60.0)[-1][1] == 3.0
    assert len(binned([], NOW, 60.0)) == 4


def _page(**more: Any) -> NamespaceReport:
    tracks = {metric: [100.0, math.nan, 300.0] * 100 for metric in (CPU, MEMORY, "cpu/request", "pods/count")}
    return answer(
        made_of([running("web-0"), waiting("web-1")], [of("web-0", (1, 2), (3, 4))], tracks, **more), Asked("shop")
    )


class _Parsed(HTMLParser):
    """Tags, attributes and text, and that everything that opens closes."""

    VOID = ("meta",)

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.open: List[str] = []
        self.tags: List[Tuple[str, Dict[str, Optional[str]]]] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: Any) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


HOSTILE = (
    "<script>alert(1)</script>", "\"><img src=x onerror=alert(1)>", "</style><script>", "' onmouseover='x",
    "&lt;b&gt;", "![x](http://evil/p.png)", "[a](javascript:alert(1))", "| a | b |", "`code` **bold** ~~s~~ _x_",
    "<!-- ", "@user #1",
    "\x1b]0;title\x07\x1b[2J", "\u202egnp.exe", "line\nbreak\r\n# heading", "www.evil.example", "\x00\x7f\x9b31m",
)  # fmt: skip


@pytest.fixture(scope="module")
def hostile() -> NamespaceReport:
    """Every text that the cluster writes is hostile."""
    pods: List[Any] = []
    for place, words in enumerate(HOSTILE):
        one = running(f"web-{place}")
        one["metadata"]["name"] = words
        one["metadata"]["ownerReferences"][0]["name"] = words
        one["spec"]["containers"][0]["name"] = words
        one["status"]["reason"] = words
        pods += [one, waiting(words, said=words)]
    quotas = [quota(words, {words: words, "pods": "3"}, {"pods": "3"}, scopes=[words]) for words in HOSTILE]
    kills = [
        Kill(words, words, NOW - 9, NOW - 9, "", "", "shop", words, words, 1, words, None, words)
        for words in HOSTILE
    ]
    newest = [reading(words, 900, 900) for words in HOSTILE]
    tracks = {CPU: [100.0, 200.0]}
    found = made_of(pods, [], tracks, newest, kills, quotas=quotas, lacks={"nodes": " ".join(HOSTILE)})
    return answer(found, Asked("shop"))


def test_hostile_names_are_words_in_html(hostile: NamespaceReport) -> None:
    page = as_html(hostile)
    parsed = _Parsed()
    parsed.feed(page)
    parsed.close()
    assert parsed.open == []
    plain = "html head meta title style body h1 h2 p ul li div figure figcaption table thead tbody tr th td"
    allowed = {*plain.split(), "svg", "line", "text", "path"}
    assert {tag for tag, _ in parsed.tags} <= allowed
    for tag, attributes in parsed.tags:
        for name, value in attributes.items():
            assert not name.startswith("on"), tag
            assert name not in ("href", "src", "style", "action", "xlink:href", "data"), tag
            assert "javascript:" not in (value or "")
    for words in HOSTILE[:6]:
        assert words in parsed.text  # nothing is lost: it is shown as it is
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", page)
    assert "default-src &#x27;none&#x27;" in page or "default-src 'none'" in page


def test_hostile_names_are_words_in_markdown(hostile: NamespaceReport) -> None:
    for line in as_markdown(hostile).splitlines():
        assert not re.search(r"(?<!\\)[<>`*\[\]~&@!]", line), line
        assert "://" not in line.replace("\\:", "")
        if line.startswith("|"):
            cells = re.split(r"(?<!\\)\|", line)
            assert len(cells) > 3
        else:
            assert line == "" or line.startswith(("# ", "## ", "- ")), line


def test_hostile_names_move_no_cursor(hostile: NamespaceReport) -> None:
    text = as_text(hostile)
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\u2028]", text)
    assert str(hostile) == text


def test_the_table_has_as_many_cells_in_each_row() -> None:
    rows = [line for line in as_markdown(_page()).splitlines() if line.startswith("|")]
    count = 0
    for line in rows:
        cells = len(re.split(r"(?<!\\)\|", line))
        count = cells if set(line) <= set("|-") else count
    assert marked("a|b") == "a\\|b"
    assert marked("x\n# y") == "x\\\\x0a\\# y"


def test_charts_are_well_formed_and_loads_nothing() -> None:
    page = as_html(_page())
    drawn = re.findall(r"<svg.*?</svg>", page, re.DOTALL)
    assert len(drawn) == 3
    for one in drawn:
        root = ElementTree.fromstring(one)
        for path in root.iter("path"):
            assert re.fullmatch(r"[ML\dh. ]*", path.get("d", ""))
            assert "nan" not in path.get("d", "")
    assert not re.search(r"https?://|url\(|@import|<script|<link|<img|<iframe", page)


def test_trust_is_at_the_top_and_what_is_lacking_at_the_bottom() -> None:
    report = _page(states={"pods": "stale"})
    text = as_text(report).splitlines()
    assert text[2] == "TRUST"
    assert "This report is stale" in text[3]
    assert text[-1].strip() == COSTS
    assert 'class="trust not"' in as_html(report)


@pytest.mark.parametrize("seed", range(4))
def test_order_and_what_is_outside_the_window_are_nothing(seed: int) -> None:
    print(f"seed {seed}")
    draw = random.Random(seed)
    pods = [running(f"web-{place}") for place in range(6)] + [waiting("a"), waiting("b")]
    sums = [of(f"web-{place}", (draw.uniform(1, 500), 500), (90, 100)) for place in range(6)]
    values = [draw.uniform(0, 100) for _ in range(240)]
    quotas = [quota("q", {"pods": "9", "cpu": "4"}, {"pods": "8", "cpu": "1"})]
    newest = [reading(f"web-{place}", 390, 199) for place in range(6)]
    plain = answer(made_of(pods, sums, {CPU: values}, newest, quotas=quotas), Asked("shop", HOUR))
    more = [1e9] * 40 + values
    mixed_inputs = made_of(
        draw.sample(pods, len(pods)), draw.sample(sums, 6), {CPU: more}, draw.sample(newest, 6), quotas=quotas
    )
    track = mixed_inputs.history.tracks(CPU, "namespace")[0]
    pairs = draw.sample(list(zip(track.times, track.values)), len(track.times)) + [(NOW + STEP, 1e9)]
    shuffled = Track(track.subject, [at for at, _ in pairs], [value for _, value in pairs])
    mixed_inputs.history._tracks = {(CPU, "namespace"): [shuffled]}
    mixed = answer(mixed_inputs, Asked("shop", HOUR))
    assert as_text(mixed) == as_text(plain)
    assert mixed.charts == plain.charts
    assert mixed.findings == plain.findings


def test_it_reads_one_namespace_and_no_points_of_containers() -> None:
    wanted = needs(Asked("shop"))
    assert wanted.namespace == "shop"
    assert {level for _, level in wanted.points} == {"namespace"}
    assert not wanted.hours
