"""Read-only views of parsed JSON: attributes and items alike, nothing copied, nothing changed.

`pod.spec.node_name`, `pod.spec.nodeName` and `pod["spec"]["nodeName"]` are the same value. An
attribute that the object does not hold is None, as in the kubernetes package; a missing item is a
KeyError. Where a field is called like a method of Mapping (`items`, `keys`, `values`, `get`), use [].
"""

from __future__ import annotations

from typing import Any, Dict, Iterator, List, Mapping, Sequence, Union, overload

from krm.client.errors import ReadOnly


def wrap(value: Any) -> Any:
    """A view of a dict or a list; any other JSON value as it is."""
    if isinstance(value, dict):
        return View(value)
    if isinstance(value, list):
        return ViewList(value)
    return value


def unwrap(value: Any) -> Any:
    """A deep copy made of plain dicts and lists, which the caller may change."""
    if isinstance(value, (View, ViewList)):
        return unwrap(value._data)
    if isinstance(value, dict):
        return {key: unwrap(item) for key, item in value.items()}
    if isinstance(value, list):
        return [unwrap(item) for item in value]
    return value


def find_field(data: Mapping[str, Any], name: str) -> Any:
    """The value under a Python attribute name, None where there is none.

    The exact name wins; else the first key that is the same but for case and underscores: `pod_ip`,
    `podIP` and `pod_i_p` name one field, so no table of acronyms is needed.
    """
    if name in data:
        return data[name]
    plain = name.replace("_", "").lower()
    for key, value in data.items():
        if key.lower() == plain:
            return value
    return None


class Frozen:
    """Whatever is written to raises ReadOnly."""

    __slots__ = ()

    def __setattr__(self, name: str, value: Any) -> None:
        raise ReadOnly(f"cannot set {name}: objects of a snapshot are read-only; change a copy from to_dict()")

    def __delattr__(self, name: str) -> None:
        raise ReadOnly(f"cannot delete {name}: objects of a snapshot are read-only; change a copy from to_dict()")

    def __setitem__(self, name: Any, value: Any) -> None:
        raise ReadOnly(f"cannot set {name!r}: objects of a snapshot are read-only; change a copy from to_dict()")

    def __delitem__(self, name: Any) -> None:
        raise ReadOnly(f"cannot delete {name!r}: objects of a snapshot are read-only; change a copy from to_dict()")


class View(Frozen, Mapping[str, Any]):
    """A JSON object."""

    __slots__ = ("_data",)
    _data: Dict[str, Any]

    def __init__(self, data: Dict[str, Any]) -> None:
        object.__setattr__(self, "_data", data)

    def __getattr__(self, name: str) -> Any:
        # Dunder names belong to Python's protocols (copy, pickle): never a field.
        if name.startswith("__"):
            raise AttributeError(name)
        return wrap(find_field(self._data, name))

    def __getitem__(self, name: str) -> Any:
        return wrap(self._data[name])

    def __iter__(self) -> Iterator[str]:
        return iter(self._data)

    def __len__(self) -> int:
        return len(self._data)

    def __eq__(self, other: object) -> bool:
        return bool(self._data == (other._data if isinstance(other, View) else other))

    __hash__ = None  # type: ignore[assignment]  # like a dict

    def __dir__(self) -> List[str]:
        return [*super().__dir__(), *self._data]

    def __repr__(self) -> str:
        return repr(self._data)

    def __reduce__(self) -> Any:
        return View, (self._data,)

    def to_dict(self) -> Dict[str, Any]:
        """A deep copy that may be changed."""
        copy: Dict[str, Any] = unwrap(self._data)
        return copy


class ViewList(Frozen, Sequence[Any]):
    """A JSON array."""

    __slots__ = ("_data",)
    _data: List[Any]

    def __init__(self, data: List[Any]) -> None:
        object.__setattr__(self, "_data", data)

    @overload
    def __getitem__(self, place: int) -> Any: ...

    @overload
    def __getitem__(self, place: slice) -> ViewList: ...

    def __getitem__(self, place: Union[int, slice]) -> Any:
        return wrap(self._data[place])

    def __len__(self) -> int:
        return len(self._data)

    def __eq__(self, other: object) -> bool:
        return bool(self._data == (other._data if isinstance(other, ViewList) else other))

    __hash__ = None  # type: ignore[assignment]  # like a list

    def __repr__(self) -> str:
        return repr(self._data)

    def __reduce__(self) -> Any:
        return ViewList, (self._data,)
