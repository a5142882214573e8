"""How a kind is shown: a built-in one as krm knows it, a custom one by its CRD, by name and age without one."""

from __future__ import annotations

import json
from typing import Optional, Sequence

from krm.model import columns
from krm.model.cells import Printer
from krm.model.printed import Printed, printed_columns, printer_of
from krm.model.served import BadFacts, unpack_facts
from krm.store.connect import Database
from krm.store.keys import Keys
from krm.store.read import Reader

_CRDS = "customresourcedefinitions.apiextensions.k8s.io"


def is_built_in(kind: str) -> bool:
    """Whether krm knows its columns itself."""
    return kind in columns.PRINTERS


def printer(kind: str, printed: Optional[Sequence[Printed]] = None) -> Printer:
    """`printed`: what its CRD says, None = no CRD is kept."""
    return columns.printer(kind) if printed is None else printer_of(printed)


def printed_in_redis(database: Database, keys: Keys, reader: Reader) -> Optional[Sequence[Printed]]:
    """What the CRD of `keys`' kind says of the version that krm keeps. `reader`: the kind's own."""
    head = reader.head().head
    try:
        version = unpack_facts("" if head is None else head.facts).version
    except BadFacts:
        return None  # nobody told yet
    definitions = Reader(database, Keys(keys.cluster, _CRDS))
    try:
        _, definition = definitions.get("", keys.kind)
    finally:
        definitions.close()
    return None if definition is None else printed_columns(json.loads(definition.body), version)
