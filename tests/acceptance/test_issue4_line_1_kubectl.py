"""Issue 4, line 1: kubectl, of two releases, prints the same bytes from krm as from a frozen real API server."""

from __future__ import annotations

import difflib
import re
import subprocess
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List, NamedTuple, Sequence, Tuple

import pytest
import redis_servers
from acceptance import kubectl_filter
from acceptance.kubectl_world import FLAGS, GROUP, KINDS, PLACE, Answer, Kubectl, kubectls, make_world, start_krm
from acceptance.product import Product, product
from controlplane.fixtures import running_plane
from controlplane.plane import ControlPlane

pytestmark = [pytest.mark.slow, pytest.mark.controlplane, pytest.mark.timeout(300)]
# An age may change between two commands: then both are asked again. What is wrong stays so.
TURNS = 4
Filter = Callable[[str, bool], str]


class World(NamedTuple):
    plane: ControlPlane
    krm: Product
    url: str
    keeps_env: bool
    folder: Path


def _world(factory: pytest.TempPathFactory, *options: str) -> Iterator[World]:
    folder = Path(factory.mktemp("kubectl"))
    for plane in running_plane(apiserver_flags=FLAGS):
        make_world(plane)
        (folder / "redis").mkdir()
        with redis_servers.one(folder / "redis") as redis, product(folder / "krm", redis) as krm:
            url = start_krm(krm, plane, redis_servers.free_port(), *options)
            yield World(plane, krm, url, "keep" in options, folder)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    yield from _world(tmp_path_factory)


@pytest.fixture(scope="module")
def keeping(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """With `--env-values keep`."""
    yield from _world(tmp_path_factory, "--env-values", "keep")


@pytest.fixture(params=["1.36", "older"])
def kubectl(request: pytest.FixtureRequest, world: World) -> Kubectl:
    return _kubectl(str(request.param), world)


def _kubectl(which: str, world: World) -> Kubectl:
    binary = kubectls().get(which)
    if binary is None:
        pytest.skip("no kubectl older than 1.36 on PATH")
    return Kubectl(binary, world.folder / which, world.plane.kubeconfig("admin"), world.url)


def as_is(text: str, _keep_env: bool) -> str:
    return text


def both(kubectl: Kubectl, arguments: Sequence[str]) -> Tuple[Answer, Answer]:
    """What the API server and krm say, at the same time."""
    with ThreadPoolExecutor(2) as pool:
        real, krm = pool.map(lambda server: kubectl.ask(server, *arguments), ("real", "krm"))
    return real, krm


def difference(kubectl: Kubectl, arguments: Sequence[str], change: Filter = as_is, keep: bool = False) -> str:
    """'' where both say the same: bytes, exit code, and the error but for warnings."""
    for _ in range(TURNS):
        real, krm = both(kubectl, arguments)
        wanted = Answer(real.code, change(real.out, keep), real.err)
        if wanted == krm:
            return ""
    lines = difflib.unified_diff(wanted.out.splitlines(), krm.out.splitlines(), "wanted", "krm", lineterm="", n=0)
    told = [] if wanted[::2] == krm[::2] else [f"wanted {wanted[::2]}", f"krm    {krm[::2]}"]
    return "\n".join(["kubectl " + " ".join(arguments), *told, *list(lines)[:20]])


def equal(kubectl: Kubectl, cases: Sequence[Tuple[Tuple[str, ...], Filter]], keep: bool = False) -> None:
    wrong = [told for told in (difference(kubectl, case, change, keep) for case, change in cases) if told]
    assert not wrong, "\n\n".join(wrong)


_COLUMNS = "A:.metadata.name,B:.metadata.labels,C:.status.phase,D:.spec.ports[*].port,E:.kind,F:.spec.word"
_PATH = '{range .items[*]}{.metadata.namespace}/{.metadata.name} {.status.phase} {.spec}{"\\n"}{end}'
FORMS: List[Tuple[Tuple[str, ...], Filter]] = [
    ((), as_is),
    (("-o", "wide"), as_is),
    (("-o", "json"), kubectl_filter.of_json),
    (("-o", "yaml"), kubectl_filter.of_yaml),
    (("-o", "name"), as_is),
    (("-o", f"jsonpath={_PATH}"), kubectl_filter.of_text),
    (("-o", f"custom-columns={_COLUMNS}"), as_is),
    (("--show-labels",), as_is),
]
# A lease changes each ten seconds: it is there for `describe`.
SHOWN = [kind for kind in KINDS if kind != "leases.coordination.k8s.io"]


@pytest.mark.parametrize("kind", SHOWN)
def test_get_prints_the_same_bytes_in_every_form(kind: str, kubectl: Kubectl) -> None:
    equal(kubectl, [(("get", kind, "-A", *form), change) for form, change in FORMS])


_IN = ("-n", PLACE)
SELECTED: List[Tuple[str, ...]] = [
    ("get", "pods", "-A", "-l", "app in (web,odd)"),
    ("get", "pods", "-A", "-l", "app notin (web),n"),
    ("get", "pods", "-A", "-l", "!app"),
    ("get", "po", "-A", "-l", "tier!=web,n>4"),
    ("get", "nodes", "-l", "node-role.kubernetes.io/control-plane,kubernetes.io/os in (linux)"),
    ("get", "pods", "-A", "--field-selector", "status.phase=Running"),
    ("get", "pods", "-A", "--field-selector", "spec.nodeName=n-1,metadata.name!=two"),
    ("get", "services", "-A", "--field-selector", "spec.type=NodePort"),
    ("get", "events", "-A", "--field-selector", "involvedObject.name=two,type!=Normal"),
    ("get", "pods", "-A", "--field-selector", "spec.foo=1"),
    ("get", "deployments", "-A", "--field-selector", "status.phase=x"),
    ("get", f"widgets.{GROUP}", "-A", "-l", "n in (1,3)"),
    ("get", "pods", "-A", "--sort-by", ".metadata.creationTimestamp"),
    ("get", "pods", "-A", "--sort-by", "{.status.phase}", "-o", "wide"),
    ("get", "events", "-A", "--sort-by", ".lastTimestamp"),
    ("get", "pods", "-A", "--chunk-size", "7"),
    ("get", "pods", *_IN, "--chunk-size", "1", "-o", "name"),
    ("get", "pods", "-A", "--chunk-size", "0", "-o", "wide"),
    ("get", f"widgets.{GROUP}", "-A", "--chunk-size", "2"),
    ("get", "pods", "-A", "-L", "app,tier"),
    ("get", "pods", *_IN, "--show-kind"),
    ("get", "pods", *_IN, "--no-headers"),
    ("get", "pods", *_IN, "nosuch"),
    ("get", "pods", *_IN, "two", "web-1", "held"),
    ("get", "pods", *_IN, "two", "nosuch", "web-1"),
    ("get", "pods/two", "svc/api", *_IN),
    ("get", "pods", "two", *_IN, "-o", "wide"),
    ("get", "nodes", "nosuch"),
    ("get", f"widgets.{GROUP}", "nosuch", *_IN),
    ("get", "pods", *_IN, "--ignore-not-found", "nosuch"),
    ("get", "pods", "-n", "empty"),
    ("get", "nosuch"),
    ("get", "deploy,rs,svc", *_IN),
    ("get", "toys", *_IN),
    ("get", "wd", "-A"),
    ("get", "ns", PLACE, "-o", "jsonpath={.status}"),
    ("get", "pods.v1.", "-A"),
    ("get", "deployments.v1beta1.apps", "-A"),
    ("get", "pods", "-A", "--server-print=false"),
    ("get", "pods", "-A", "-o", "go-template={{range .items}}{{.metadata.name}} {{.metadata.uid}}{{end}}"),
    ("events", *_IN, "--for", "pod/two"),
    ("rollout", "history", "deploy/api", *_IN),
    ("wait", "--for=condition=Ready", "pod/two", *_IN, "--timeout=1s"),
    ("version",),
]  # fmt: skip


def test_options_choose_sort_page_and_refuse_alike(kubectl: Kubectl) -> None:
    equal(kubectl, [(case, as_is) for case in SELECTED])


DESCRIBED = (
    "pods",
    "nodes",
    "deployments",
    "services",
    "ingresses",
    "pvc",
    "namespaces",
    "jobs",
    "rs",
    "hpa",
    "crd",
    "widgets",
)


def test_describe_prints_the_same_bytes(kubectl: Kubectl) -> None:
    cases = [(("describe", kind, "-A"), kubectl_filter.of_text) for kind in DESCRIBED]
    more = (("pod", "nosuch"), ("pod", "web-1"), ("deploy/api",), ("svc", "api"), ("pod", "odd"))
    equal(kubectl, [*cases, *((("describe", *one, *_IN), kubectl_filter.of_text) for one in more)])


def test_api_resources_are_those_that_are_kept(kubectl: Kubectl) -> None:
    """The API server's own lines, of what krm keeps; the verbs are only those that read."""
    for options in ((), ("-o", "wide"), ("-o", "name"), ("--namespaced=false",), ("--api-group=apps",)):
        real, krm = both(kubectl, ("api-resources", "--sort-by=name", *options))
        assert krm.code == 0
        kept = [" ".join(_read_only(line)) for line in real.out.splitlines() if _names_kept(line, options)]
        assert [" ".join(line.split()) for line in krm.out.splitlines()] == kept, options


def _names_kept(line: str, options: Tuple[str, ...]) -> bool:
    words = line.split()
    if "NAME" in words[0]:
        return True
    if "name" in options:
        return words[0] in KINDS
    version = next(word for word in words[1:] if word[0] == "v" or "/v" in word)
    return f"{words[0]}.{version.rpartition('/')[0]}".rstrip(".") in KINDS


def _read_only(line: str) -> List[str]:
    return re.sub(r"\b(create|delete),[a-z,]*watch\b", "get,list,watch", line).split()


# get -w -----------------------------------------------------------------------------------------------


class Watching:
    """One `kubectl get -w`, its lines as they come."""

    def __init__(self, kubectl: Kubectl, server: str, arguments: Sequence[str]) -> None:
        self.lines: List[str] = []
        self._child = subprocess.Popen(
            kubectl.command(server, *arguments), stdout=subprocess.PIPE, env=kubectl.environment, encoding="utf-8"
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self._child.stdout is not None
        for line in self._child.stdout:
            self.lines.append(line)

    def close(self) -> None:
        self._child.terminate()
        self._child.wait(10)
        self._reader.join(10)


_MARKS = '{.metadata.name} {.metadata.resourceVersion} {.metadata.labels}{"\\n"}'
_MARKS = '{.metadata.name} {.metadata.resourceVersion} {.metadata.labels}{"\\n"}'
WATCHED: Dict[str, Tuple[str, ...]] = {
    "all": ("get", "pods", *_IN, "-w", "--output-watch-events"),
    "selected": ("get", "pods", *_IN, "-l", "stage=on", "-w", "--output-watch-events", "--show-labels"),
    "one": ("get", "pod", "turn-2", *_IN, "-w", "-o", "name", "--output-watch-events"),
    "fields": ("get", "pods", *_IN, "--field-selector", "status.phase=Running", "-w", "--output-watch-events"),
    "paths": ("get", "pods", *_IN, "-l", "stage=on", "-w", "-o", f"jsonpath={_MARKS}"),
}


def _changes(world: World) -> None:
    """Pods enter and leave the selections, change in them and out of them, and go."""
    admin, pods = world.plane.admin, f"/api/v1/namespaces/{PLACE}/pods"
    body: Dict[str, Any] = {"spec": {"containers": [{"name": "c", "image": "i:1"}]}}
    merge = "application/merge-patch+json"
    for number in range(1, 4):
        labels = {"stage": "on"} if number == 1 else {"other": "x"}
        if number != 2:
            admin.create(pods, {**body, "metadata": {"name": f"turn-{number}", "labels": labels}})
    for name, value in (("turn-1", "off"), ("turn-2", "on"), ("turn-1", "on"), ("turn-3", "on"), ("turn-2", "off")):
        admin.patch(f"{pods}/{name}", {"metadata": {"labels": {"stage": value}}})
    for name, phase in (("turn-1", "Running"), ("turn-2", "Running"), ("turn-1", "Succeeded")):
        admin.patch(f"{pods}/{name}/status", {"status": {"phase": phase}}, content_type=merge)
    for number in range(1, 4):
        admin.delete(f"{pods}/turn-{number}", {"gracePeriodSeconds": 0})


def test_get_w_shows_the_same_events(world: World, kubectl: Kubectl) -> None:
    admin, pods = world.plane.admin, f"/api/v1/namespaces/{PLACE}/pods"
    body: Dict[str, Any] = {"spec": {"containers": [{"name": "c", "image": "i:1"}]}}
    admin.create(pods, {**body, "metadata": {"name": "turn-2", "labels": {"other": "x"}}})
    world.krm.wait("krm has it", lambda: kubectl.ask("krm", "get", "pod", "turn-2", *_IN).code == 0)
    watching = {
        (name, server): Watching(kubectl, server, arguments)
        for name, arguments in WATCHED.items()
        for server in ("real", "krm")
    }
    try:
        shown = ("all", "one", "fields")
        world.krm.wait(
            "each shows what there is", lambda: all(watching[key].lines for key in watching if key[0] in shown)
        )
        _settled(watching)  # the watches behind the lists are open when nothing more comes
        _changes(world)
        seen = lambda one: any("turn-2" in line for line in one.lines)  # noqa: E731
        world.krm.wait("each has seen the changes", lambda: all(map(seen, watching.values())))
        _settled(watching)
    finally:
        for one in watching.values():
            one.close()
    for name in WATCHED:
        real, krm = ([_ageless(line) for line in watching[name, server].lines] for server in ("real", "krm"))
        assert krm == real, name
        assert len(real) > 2, name


def _settled(watching: Dict[Tuple[str, str], Watching]) -> None:
    """Until no line has come for two seconds."""
    count, since = -1, time.monotonic()
    while time.monotonic() - since < 2.0:
        now = sum(len(one.lines) for one in watching.values())
        if now != count:
            count, since = now, time.monotonic()
        time.sleep(0.1)


def _ageless(line: str) -> List[str]:
    """Columns, but for the age of what was made just now."""
    return [word for word in line.split() if not (word[0].isdigit() and word.endswith("s"))]


# --env-values keep --------------------------------------------------------------------------------------


@pytest.mark.parametrize("which", ["1.36", "older"])
def test_with_values_kept_nothing_but_the_applied_annotation_differs(keeping: World, which: str) -> None:
    kubectl = _kubectl(which, keeping)
    kinds = (
        "pods",
        "deployments",
        "replicasets",
        "statefulsets",
        "daemonsets",
        "jobs",
        "services",
        f"widgets.{GROUP}",
    )
    cases = [(("get", kind, "-A", *form), change) for kind in kinds for form, change in FORMS]
    cases += [(("describe", kind, "-A"), kubectl_filter.of_text) for kind in DESCRIBED]
    equal(kubectl, cases, keep=True)
    assert "hunter2" in kubectl.ask("krm", "get", "pods", "-A", "-o", "yaml").out
