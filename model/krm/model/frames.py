"""DataFrames of rows: of pandas or polars, whichever is installed (pandas where both are).

The types of the columns are stated beside the rows, so that no rows at all have the same columns and types as many.
"""

from __future__ import annotations

import importlib.util
from datetime import datetime, timezone
from typing import Any, Callable, Dict, List, Optional

_PACKAGES = ("pandas", "polars")
TEXT, WHOLE, NUMBER, TRUTH, TIME = "text", "whole", "number", "truth", "time"
_PANDAS = {
    TEXT: "string", WHOLE: "Int64", NUMBER: "float64", TRUTH: "boolean", TIME: "datetime64[us, UTC]",
}  # fmt: skip

Row = Dict[str, Any]
Types = Dict[str, str]  # column -> its type; '' = by its values (lists, maps, fields by path)


def builder(package: str = "") -> Callable[[List[Row], Types], Any]:
    """What makes a frame of rows and their columns' types. Raises ImportError (none is installed), ValueError."""
    if package and package not in _PACKAGES:
        raise ValueError(f"{package!r} is neither pandas nor polars")
    for name in (package,) if package else _PACKAGES:
        if importlib.util.find_spec(name) is not None:
            return _pandas if name == "pandas" else _polars
    raise ImportError(f"to_dataframe() needs {package or 'pandas or polars'}: pip install {package or 'pandas'}")


def moment(seconds: Optional[float]) -> Optional[datetime]:
    """Unix seconds as a column of times takes them."""
    return None if seconds is None else datetime.fromtimestamp(seconds, timezone.utc)


def _pandas(rows: List[Row], types: Types) -> Any:
    import pandas

    frame = pandas.DataFrame(rows, columns=list(types))
    for name in [name for name, type_ in types.items() if type_ == TIME]:
        frame[name] = pandas.to_datetime(frame[name], utc=True)  # pandas 2.0 casts no empty column to microseconds
    return frame.astype({name: _PANDAS[type_] for name, type_ in types.items() if type_})


def _polars(rows: List[Row], types: Types) -> Any:
    import polars

    known = {
        TEXT: polars.String, WHOLE: polars.Int64, NUMBER: polars.Float64, TRUTH: polars.Boolean,
        TIME: polars.Datetime("us", "UTC"),
    }  # fmt: skip
    declared = {name: known[type_] for name, type_ in types.items() if type_}
    if not rows:
        return polars.DataFrame(schema={name: declared.get(name, polars.Null) for name in types})
    # All rows decide about the other types: the first hundred may hold nothing but nulls.
    return polars.DataFrame(rows, schema_overrides=declared, infer_schema_length=None)
