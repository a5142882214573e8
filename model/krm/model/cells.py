"""What all of kubectl's columns are made of: their layout, and the cells that many kinds share."""

from __future__ import annotations

from typing import Any, Callable, Dict, List, Mapping, NamedTuple, Optional, Tuple, Union

from krm.model import times
from krm.model.reading import mapping, rows, text, texts

Cell = Union[str, int]  # a bool where the API server sends one
Object = Dict[str, Any]
NONE, UNKNOWN, UNSET = "<none>", "<unknown>", "<unset>"
MOST = 3  # items of a list that one cell shows


class Column(NamedTuple):
    """A column of a Table."""

    name: str
    priority: int = 0  # other than 0: shown by -o wide alone
    type: str = "string"  # as the Table names it
    format: str = ""  # "name" for the name
    description: str = ""  # for those who show Tables whole

    @property
    def wide(self) -> bool:
        """Whether -o wide alone shows it."""
        return self.priority != 0


def no_values(_obj: Object) -> Dict[str, Any]:
    """Of a kind whose facts are its cells alone."""
    return {}


class Later(float):
    """A moment that comes later: an age at it is written as a mark, to be filled in when it is known.

    `sign` must not be guessed by whoever writes objects: what stands between two signs is taken as a time.
    """

    sign: str

    def __new__(cls, sign: str) -> Later:
        made = super().__new__(cls, 0.0)
        made.sign = sign
        return made

    def mark(self, moment: float) -> str:
        """Epoch seconds, where their age is to stand."""
        return f"{self.sign}{moment!r}{self.sign}"


class Printer(NamedTuple):
    """How the objects of one kind are shown."""

    columns: Tuple[Column, ...]
    cells: Callable[[Object, float], List[Cell]]  # of an object at epoch seconds, one a column
    values: Callable[[Object], Dict[str, Any]] = no_values  # the same facts, typed
    order: Optional[Callable[[Object], Any]] = None  # of a list's rows; None = they stand as the list has them


def layout(names: str) -> Tuple[Column, ...]:
    """`Name|Count:integer|*Images`: columns in the API server's order, `*` for one that -o wide alone shows.

    `NAME:TYPE:FORMAT`, where they are not plain strings.
    """
    return tuple([_column(name) for name in names.split("|")])


def _column(text_: str) -> Column:
    name, type_, format_ = (text_.lstrip("*").split(":") + ["", ""])[:3]
    format_ = format_ or ("name" if name == "Name" else "")
    return Column(name, int(text_.startswith("*")), type_ or "string", format_)


def name_of(obj: Object) -> str:
    """metadata.name, '' where there is none."""
    return text(mapping(obj.get("metadata")).get("name"))


def named_default(obj: Object, *annotations: str) -> str:
    """The name, with a mark where one of `annotations` says that it is its kind's default."""
    found = mapping(mapping(obj.get("metadata")).get("annotations"))
    is_default = any(found.get(one) == "true" for one in annotations)
    return name_of(obj) + (" (default)" if is_default else "")


def created(obj: Object) -> Optional[float]:
    """Epoch seconds, None = unknown."""
    return times.known(mapping(obj.get("metadata")).get("creationTimestamp"))


def since(moment: Optional[float], now: float) -> str:
    """The age of a moment, both in epoch seconds."""
    if moment is not None and isinstance(now, Later):
        return now.mark(moment)
    return times.age(None if moment is None else now - moment)


def age(obj: Object, now: float) -> str:
    """Since its creation."""
    return since(created(obj), now)


def parts(obj: Object) -> Tuple[Object, Object]:
    """spec and status, {} where they are absent."""
    return mapping(obj.get("spec")), mapping(obj.get("status"))


def pairs(labels: Any) -> str:
    """`a=1,b=2`, sorted as they are written: `a-b=1` stands before `a=1`."""
    return ",".join(sorted(["%s=%s" % pair for pair in mapping(labels).items()])) or NONE


def more(shown: str, left: int) -> str:
    """A list that is cut, with the number of those that were left out."""
    return "%s + %d more..." % (shown, left) if left > 0 else shown


def balanced(status: Object) -> List[str]:
    """Addresses of a load balancer, sorted."""
    points = rows(mapping(status.get("loadBalancer")).get("ingress"))
    return sorted({text(one.get("ip")) or text(one.get("hostname")) for one in points} - {""})


def template(spec: Object) -> Object:
    """The spec of the pods that a workload makes."""
    return mapping(mapping(spec.get("template")).get("spec"))


def images(pod: Object) -> List[Cell]:
    """Containers and Images, of a pod's spec."""
    found = rows(pod.get("containers"))
    return [",".join([text(one.get("name")) for one in found]), ",".join([text(one.get("image")) for one in found])]


def condition(status: Object, kind: str) -> Optional[bool]:
    """Whether the newest condition of a type is True; None where there is none."""
    found: Optional[bool] = None
    for one in rows(status.get("conditions")):
        if one.get("type") == kind:
            found = one.get("status") == "True"
    return found


def selector(found: Mapping[str, Any]) -> str:
    """A LabelSelector as text, its requirements in the order of their keys."""
    terms = [(key, "%s=%s" % (key, value)) for key, value in mapping(found.get("matchLabels")).items()]
    for one in rows(found.get("matchExpressions")):
        key, operator = text(one.get("key")), one.get("operator")
        values = "(%s)" % ",".join(sorted(set(texts(one.get("values")))))
        forms = {
            "In": "%s in %s" % (key, values),
            "NotIn": "%s notin %s" % (key, values),
            "Exists": key,
            "DoesNotExist": "!" + key,
        }
        if operator not in forms:
            return "<error>"
        terms.append((key, forms[operator]))
    return ",".join([term for _, term in sorted(terms, key=lambda pair: pair[0])]) or NONE


def cut(shown: List[str]) -> str:
    """The first few of a list."""
    return more(",".join(shown[:MOST]) or UNSET, len(shown) - MOST)


def given(value: Any, absent: str) -> str:
    """A text, even an empty one; `absent` where the field is not there."""
    return value if isinstance(value, str) else absent


def reference(about: Object) -> str:
    """`Kind/name`."""
    return "%s/%s" % (text(about.get("kind")), text(about.get("name")))


# Kinds of which the API server tells no more.
PLAIN = Printer(layout("Name|Age"), lambda obj, now: [name_of(obj), age(obj, now)])
CREATED = Printer(
    layout("Name|Created At:date"),
    lambda obj, _now: [name_of(obj), text(mapping(obj.get("metadata")).get("creationTimestamp"))],
)
