"""Templates as kubectl reads them; what does not parse is told, never guessed."""

from __future__ import annotations

import random

import pytest
from krm.model.jsonpath import (
    MISSING,
    BadPath,
    NotThere,
    column_texts,
    evaluate,
    find,
    first_value,
    parse_relaxed,
    parse_template,
)
from krm.model.layout import Columns

LIST = {
    "kind": "List",
    "map": {"z": "<&", "a": {"c": [1, True], "b": None}},
    "items": [
        {
            "metadata": {"name": "a", "labels": {"app.kubernetes.io/name": "web"}},
            "n": 1,
            "spec": {"containers": [{"image": "x:1"}, {"image": "y:2"}]},
        },
        {"metadata": {"name": "b"}, "n": 2.5, "ok": True, "none": None},
    ],
}


WHOLE = (
    '{"items":[{"metadata":{"labels":{"app.kubernetes.io/name":"web"},"name":"a"},"n":1,"spec":{"containers":'
    '[{"image":"x:1"},{"image":"y:2"}]}},{"metadata":{"name":"b"},"n":2.5,"none":null,"ok":true}],"kind":"List",'
    '"map":{"a":{"b":null,"c":[1,true]},"z":"\\u003c\\u0026"}}'
)


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("{.kind}", "List"),
        ("{kind}{$.kind}{@.kind}", "ListListList"),
        ("no braces .kind", "no braces .kind"),
        ("{.items[*].metadata.name}", "a b"),
        ("{.items[*].n} {.items[1].ok}", "1 2.5 true"),
        ("{.items[-1].metadata}", '{"name":"b"}'),
        ("{.items[0:2].n}{.items[0,1].metadata.name}", "1 2.5a b"),
        ("{.items[::2].n}", "1"),
        ("{..image}", "x:1 y:2"),
        ("{.items[0].metadata.labels.app\\.kubernetes\\.io/name}", "web"),
        ("{.items[0]['n']}{.items[0].metadata['name','none']}", "1a"),
        ('{.items[?(@.n>1)].metadata.name}{.items[?(@.metadata.name=="a")].n}', "b1"),
        ("{.items[?(@.ok)].metadata.name}{.items[?(@.ok==true)].n}", "b2.5"),
        ("{.items[?(@.n!=1)].metadata.name}", "b"),
        ('{range .items[*]}{.metadata.name}{"\\t"}{.n}{"\\n"}{end}', "a\t1\nb\t2.5\n"),
        ("{range .items[*]}[{range .spec.containers[*]}{.image};{end}]{end}", "[x:1;y:2;][]"),
        ("{.missing}{.missing[9]}{.items[*].missing.deeper}{.kind.x}{.items[1].none[0]}", ""),
        ("{.items[1].none}", "null"),
        ("{.items[0:0]}{.items[2:2]}", ""),
        ("{.items[-2:].n}", "1 2.5"),
        ("{.items[*]['metadata.name','n']}", "a b 1 2.5"),
        ("{.items[1,0].n}", "2.5 1"),
        ("{.items[0].metadata.labels['app.kubernetes.io/name']}", "web"),
        ("{.map}", '{"a":{"b":null,"c":[1,true]},"z":"\\u003c\\u0026"}'),
        ("{.items[1].ok}{}", "true" + WHOLE),
        ("{'it''s'}{\"\\\"\"}", 'its"'),
    ],
)
def test_what_a_template_gives(template: str, text: str) -> None:
    assert evaluate(parse_template(template), LIST) == text


@pytest.mark.parametrize(
    "template",
    ["{", "{.a", "{.a[", "{.a[}", "{.a[x]}", "{.a[1:2:0]}", "{.a[?(@.b==)]}", "{.a[?(@.b]}", "{range .a}", "{end}",
     "{.a}}{.b", '{"open}', "{.a b!}", "{" * 1000, "x" * 70_000],
)  # fmt: skip
def test_what_does_not_parse_is_told(template: str) -> None:
    with pytest.raises(BadPath):
        parse_template(template)


@pytest.mark.parametrize(
    ("template", "why"),
    [
        ("{.items[999].n}", "array index out of bounds: index 999, length 2"),
        ("{.items[-3].n}", "array index out of bounds: index -1, length 2"),
        ("{.items[0,7].n}", "array index out of bounds: index 7, length 2"),
        ("{.items[0:9].n}", "array index out of bounds: index 8, length 2"),
        ("{.items[5:].n}", "array index out of bounds: index 5, length 2"),
        ("{.items[1:0].n}", "starting index 1 is greater than ending index 0"),
        ("{.items[0:2:-1].n}", "step must be > 0"),
        ("{.kind[0]}", "'List' is not an array: it has no index"),
        ("{.items[0].spec[0]}", "an object is not an array: it has no index"),
    ],
)
def test_an_index_that_is_not_there_is_an_error_as_in_kubectl(template: str, why: str) -> None:
    with pytest.raises(NotThere) as raised:
        evaluate(parse_template(template), LIST)
    assert str(raised.value) == why
    assert first_value(template[1:-1], LIST) is MISSING


@pytest.mark.parametrize(
    ("template", "why"),
    [
        ("{.a", "'{' at character 1 of the template is never closed: '}' is missing"),
        ("x{foo bar", "'{' at character 2 of the template is never closed: '}' is missing"),
        ("{.a[", "'[' at character 4 of the template is never closed: ']' is missing"),
        ("{.a[}", "expected an index, a quoted name, * or ?( at character 5 of the template, found '}'"),
        ("{.a]}", "expected a name at character 4 of the template, found ']}'"),
    ],
)
def test_the_sentence_says_where_a_template_went_wrong(template: str, why: str) -> None:
    with pytest.raises(BadPath) as raised:
        parse_template(template)
    assert str(raised.value) == why


def test_columns_write_maps_and_arrays_as_go_does() -> None:
    assert column_texts([LIST["map"], [1, "a", None], None, True]) == (
        "map[a:map[b:<nil> c:[1 true]] z:<&]",
        "[1 a <nil>]",
        "<none>",
        "true",
    )


def test_no_text_breaks_the_parser() -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    source = random.Random(seed)
    for _ in range(3000):
        text = "".join(source.choice("{}[]().@$*?:,'\"\\=<>!ab1- ") for _ in range(source.randrange(20)))
        try:
            evaluate(parse_template(text), LIST)
        except (BadPath, NotThere):
            pass


def test_a_columns_path_may_lack_its_braces_and_dot() -> None:
    for text in ("{.metadata.name}", ".metadata.name", "metadata.name"):
        assert find(parse_relaxed(text), LIST["items"][0], LIST["items"][0]) == ["a"]


def test_columns_keep_their_widths_and_never_end_in_spaces() -> None:
    columns = Columns()
    assert columns.lines([["NAME", "A", "Z"], ["abc", "1", ""]]) == ["NAME   A     Z", "abc    1"]
    assert columns.lines([["x", "2", "3"]]) == ["x      2     3"]
    assert columns.lines([["日本", "2", "3"]]) == ["日本   2     3"]
    assert columns.lines([["a\x1b[2Jb\n", "2", "3"]]) == ["a^[[2Jb\\x0a   2     3"]
    assert columns.lines([[]]) == [""]
