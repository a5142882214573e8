"""The docs tell the truth, as far as a machine can see: links lead somewhere, names exist, code compiles."""

from __future__ import annotations

import ast
import re
import sys
import textwrap
from dataclasses import fields
from pathlib import Path
from typing import Any, Dict, Iterator, List, Tuple

import fakeredis
import pytest
from krm.aggregator import lists
from krm.model import columns, head, kinds, messages, records, trust
from krm.store import keys

ROOT = Path(__file__).resolve().parent.parent
_LINK = re.compile(r"\]\(([^)\s]+)\)|(?:src|href)=\"([^\"]+)\"")
_FENCE = re.compile(r"^( *)```(\w*)\n(.*?)^\1```", re.MULTILINE | re.DOTALL)
DRIFT = (
    lists.MISSED_ADD, lists.MISSED_UPDATE, lists.GHOST, lists.CONTRADICTION, lists.OVERDUE, lists.REFUSED,
)  # fmt: skip
_COMMENT = re.compile(r"<!--.*?-->", re.DOTALL)


def pages(root: Path = ROOT) -> List[Path]:
    """Every page that a person reads: those of the root, of docs/ and of the rooms."""
    found = [*root.glob("*.md"), *root.glob("docs/**/*.md"), *root.glob("*/README.md"), *root.glob("tests/**/*.md")]
    return sorted(
        path for path in set(found) if not any(part.startswith(".") for part in path.relative_to(root).parts)
    )


def anchors(text: str) -> List[str]:
    """The anchors of a page's headings, as they are made where it is shown."""
    titles = re.findall(r"^#+ (.*)$", _FENCE.sub("", text), re.MULTILINE)
    return [re.sub(r"[^\w\- ]", "", title.replace("`", "").lower()).strip().replace(" ", "-") for title in titles]


def links(text: str) -> Iterator[str]:
    for found in _LINK.finditer(_COMMENT.sub("", _FENCE.sub("", text))):
        target = found.group(1) or found.group(2)
        if not re.match(r"^[a-z][a-z0-9+.-]*:", target):
            yield target


def broken_links(root: Path) -> List[str]:
    """Links between pages, and into them, that lead nowhere."""
    broken = []
    for page in pages(root):
        for target in links(page.read_text(encoding="utf-8")):
            path, _, anchor = target.partition("#")
            to = (page.parent / path).resolve() if path else page
            if not to.exists():
                broken.append(f"{page.relative_to(root)}: {target} is not there")
            elif anchor and to.suffix == ".md" and anchor not in anchors(to.read_text(encoding="utf-8")):
                broken.append(f"{page.relative_to(root)}: {target} has no such heading")
    return broken


def test_links_lead_somewhere() -> None:
    assert broken_links(ROOT) == []


def test_a_broken_link_is_seen(tmp_path: Path) -> None:
    (tmp_path / "a.md").write_text("# One\n[x](b.md) [y](a.md#one) [z](a.md#two) [w](https://example.com/none)\n")
    assert broken_links(tmp_path) == ["a.md: b.md is not there", "a.md: a.md#two has no such heading"]


def docs(name: str) -> str:
    return (ROOT / "docs" / name).read_text(encoding="utf-8")


def in_tables(text: str) -> List[str]:
    """The code spans that stand in the first cell of a table's row."""
    rows = re.findall(r"^\| (.*?) \|", text, re.MULTILINE)
    return [span for row in rows for span in re.findall(r"`([^`]+)`", row)]


def test_every_key_of_the_grammar_is_in_the_docs() -> None:
    """keys.py's own table is compared with protocol.md's, key by key."""
    table = re.findall(r"^    (K \S+(?: \S+)*?|krm:\S+) +(?:stream|hash|set) ", str(keys.__doc__), re.MULTILINE)
    assert len(table) >= 9
    named = in_tables(docs("protocol.md"))
    parts = {name.split()[-1] for name in table}
    wanted = {part[1:] if part.startswith("N:") else part for part in parts}
    assert wanted <= set(named), wanted - set(named)


@pytest.mark.parametrize(
    ("page", "names"),
    [
        ("formats.md", head.FIELDS),
        ("formats.md", records.Envelope._fields),
        ("formats.md", tuple(messages._TAGS)),
        ("trust.md", tuple(field.name for field in fields(trust.Trust))),
        ("trust.md", trust.STATES),
        ("trust.md", DRIFT),
        ("architecture.md", tuple(str(kind) for kind in kinds.DEFAULT_KINDS)),
    ],
    ids=["head", "envelope", "tags", "trust", "states", "drift", "kinds"],
)
def test_every_name_is_in_its_page(page: str, names: Tuple[str, ...]) -> None:
    text = docs(page)
    missing = [name for name in names if not re.search(rf"(?<![\w.]){re.escape(name)}(?![\w])", text)]
    assert missing == []


def test_the_head_fields_that_the_docs_name_exist() -> None:
    section = docs("formats.md").split("## The head")[1].split("\n## ")[0]
    assert set(in_tables(section)) == set(head.FIELDS)


def test_every_message_is_told_with_its_fields() -> None:
    text = docs("formats.md")
    for tag, cls in messages._TAGS.items():
        assert f"`{tag}`" in text
        assert ", ".join(cls._fields) in text, tag


def test_the_rights_cover_every_kind_that_runs_by_default() -> None:
    text = docs("rbac.md")
    for kind in kinds.DEFAULT_KINDS:
        group = (kind.group and re.escape(kind.group)) or '""'
        assert re.search(rf"apiGroups: \[{group}\]\n  resources: \[[^\]]*\b{kind.resource}\b", text), str(kind)
    # A review is created, and changes nothing.
    asking = re.compile(r"resources: \[(tokenreviews|subjectaccessreviews)\]\n  verbs: \[create\]")
    assert len(asking.findall(text)) == 2
    assert not re.search(r"(resources|verbs): .*(secrets|\*|create|update|patch|delete)", asking.sub("", text))


def test_the_kinds_with_columns_of_their_own_are_named() -> None:
    (line,) = re.findall(r"^Columns of their own have (.*?)\.", docs("client.md"), re.MULTILINE)
    told = set(re.split(r", | and ", line))
    plain = set(columns.typed_row("widgets.example.com", {}))
    assert told == {kind.resource for kind in kinds.DEFAULT_KINDS if set(columns.typed_row(str(kind), {})) != plain}


def test_every_page_of_docs_is_in_the_index() -> None:
    index = docs("index.md")
    for page in (ROOT / "docs").glob("*.md"):
        assert page.name == "index.md" or f"({page.name})" in index, page.name


def test_the_page_of_metrics_is_what_the_table_says() -> None:
    sys.path.insert(0, str(ROOT / "scripts"))
    import metrics_page

    assert docs("metrics.md") == metrics_page.page(), metrics_page.HOW


def test_every_command_of_make_in_the_docs_exists() -> None:
    targets = set(re.findall(r"^([a-z0-9-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for page in pages():
        for name in re.findall(r"(?:`|^    )make ([a-z0-9-]+)", page.read_text(encoding="utf-8"), re.MULTILINE):
            assert name in targets, f"{page.relative_to(ROOT)}: make {name}"


def python_blocks() -> List[Tuple[str, str]]:
    """[(page and number, code)] of every block marked python."""
    found = []
    for page in pages():
        for number, block in enumerate(_FENCE.finditer(page.read_text(encoding="utf-8"))):
            if block.group(2) in ("python", "py"):
                found.append((f"{page.relative_to(ROOT)}:{number}", textwrap.dedent(block.group(3))))
    return found


@pytest.mark.parametrize(("where", "code"), python_blocks(), ids=[where for where, _ in python_blocks()])
def test_code_in_the_docs_compiles_and_its_imports_exist(where: str, code: str) -> None:
    tree = ast.parse(code, where)
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("krm"):
            exec(compile(ast.Module([node], []), where, "exec"), {})


def read_namespace(*arguments: Any) -> Dict[str, Any]:
    """The example of formats.md, run as it stands."""
    (code,) = [code for where, code in python_blocks() if where.startswith("docs/formats.md")]
    scope: Dict[str, Any] = {}
    exec(compile(code, "formats.md", "exec"), scope)
    result: Dict[str, Any] = scope["read_namespace"](*arguments)
    return result


def stored(client: fakeredis.FakeRedis, kind: str, namespace: str, body: bytes) -> keys.Keys:
    """One object, as the aggregator leaves it."""
    place = keys.Keys("demo", kind)
    digest = records.object_digest(body)
    envelope = records.Envelope("7", "u-1", digest, 1.0, b"", (), body)
    member = records.member_digest(f"{namespace}/a", "7", digest)
    client.hset(place.objects("n1", namespace), "a", records.pack_envelope(envelope))
    client.hset(place.index("n1"), namespace, records.pack_index(records.IndexEntry(1, member)))
    client.hset(place.head, mapping=head.encode({"incarnation": "n1", "beat": float(client.time()[0])}))
    return place


@pytest.mark.parametrize(("kind", "namespace"), [("pods", "team"), ("nodes", "")])
def test_the_example_reads_what_the_model_writes(kind: str, namespace: str) -> None:
    client = fakeredis.FakeRedis()
    stored(client, kind, namespace, b'{"kind":"Pod"}')
    assert read_namespace(client, "demo", kind, namespace) == {"a": {"kind": "Pod"}}
    assert read_namespace(client, "demo", kind, "empty") == {}


def test_the_example_refuses_what_it_cannot_vouch_for() -> None:
    client = fakeredis.FakeRedis()
    client.hset(keys.meta_key("demo"), "kind/pods", "1")
    with pytest.raises(LookupError, match="warming"):
        read_namespace(client, "demo", "pods", "team")
    for cluster, kind in (("dmeo", "pods"), ("demo", "pod")):
        with pytest.raises(LookupError, match="misspelt"):
            read_namespace(client, cluster, kind, "team")
    place = stored(client, "pods", "team", b"{}")
    client.hset(place.head, "beat", "1.0")
    with pytest.raises(LookupError, match="stale"):
        read_namespace(client, "demo", "pods", "team")
    place = stored(client, "pods", "team", b"{}")
    raw = client.hget(place.objects("n1", "team"), "a")
    assert raw is not None
    client.hset(place.objects("n1", "team"), "a", raw[:-1] + b" ")
    with pytest.raises(ValueError, match="damaged"):
        read_namespace(client, "demo", "pods", "team")
    stored(client, "pods", "team", b"{}")
    client.hset(place.objects("n1", "team"), "b", client.hget(place.objects("n1", "team"), "a"))
    with pytest.raises(ValueError, match="index"):
        read_namespace(client, "demo", "pods", "team")
