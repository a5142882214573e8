"""How much of what is free no typical pod can use, and what still fits. Pure.

The measure is that of FGD (Weng et al., ATC'23): of a node and a resource the sum, over the typical shapes, of a
shape's frequency times what is free that this shape cannot use. Where the shape does not fit, for want of any
resource or because the node keeps it away, or does not ask for the resource, that is all of it; where it fits,
nothing. (Shares of one device, which the paper treats beside, are nothing that Kubernetes hands out.)
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from fractions import Fraction
from typing import ClassVar, Dict, List, NamedTuple, Optional, Sequence, Tuple

from krm.analysis.answer import Answer, Column
from krm.analysis.finding import HIGH, INFO, MEDIUM, WARNING, About, Evidence, Finding
from krm.analysis.inputs import Inputs, Needs
from krm.analysis.owners import BETWEEN, Owners
from krm.analysis.scheduling.amounts_text import amount_text, written_down
from krm.analysis.scheduling.board import Board, read_board
from krm.analysis.scheduling.predicates import Cycle
from krm.analysis.scheduling.shapes import Room, Shape, given, room, typical
from krm.analysis.worth import worth_of
from krm.model.measures import Covers
from krm.model.metrics import BYTES, COUNT, MILLICORES

NODE, SHAPE = BY = ("node", "shape")
FRAGMENTED, NO_ROOM = "fragmentation", "no-room-for-shape"
HALF = 0.5  # of what is free is too small for typical pods: a warning


class Asked(NamedTuple):
    """Which shapes, and which table."""

    shapes: Tuple[str, ...] = ()  # `cpu=2,memory=4Gi`; () = the cluster's own
    by: str = NODE


@dataclass(frozen=True)
class Fragments:
    """One resource of one node, or of all of them. Amounts in millicores, bytes, or a count."""

    node: str  # '' = the cluster
    resource: str
    allocatable: int
    free: int  # 0 where more was given than there is
    fragmented: float  # the measure: the three below, together
    too_small: float  # of shapes that lack some resource there, or a place for one more pod
    kept_away: float  # of shapes that a cordon, taints or labels keep away
    not_asked: float  # of shapes that ask for nothing of this resource

    @property
    def share(self) -> Optional[float]:
        """Of what is free; None where nothing is."""
        return self.fragmented / self.free if self.free else None


@dataclass(frozen=True)
class ShapeRoom:
    """What still fits of one shape."""

    shape: str
    size: str  # `cpu=500m,memory=1Gi`
    pods: int  # like it, now; of a shape that was given 0
    frequency: float
    fits: int  # more pods of it, if only they came
    nodes: int  # that take one
    largest: str  # of its proportions that still fits on one node; '' = nothing
    largest_on: str
    scale: float  # of the shape's size


@dataclass(frozen=True)
class Fragmentation(Answer):
    """Nodes by name, each with its resources; the cluster first."""

    COLUMNS: ClassVar[Tuple[Column, ...]] = (
        Column("NODE", lambda row: row.node or "(all)"),
        Column("RESOURCE", lambda row: row.resource),
        Column("FREE", lambda row: amount_text(row.resource, row.free)),
        Column("FRAGMENTED", lambda row: amount_text(row.resource, round(row.fragmented))),
        Column("SHARE", lambda row: "-" if row.share is None else f"{row.share:.0%}"),
        Column("TOO SMALL", lambda row: amount_text(row.resource, round(row.too_small)), wide=True),
        Column("KEPT AWAY", lambda row: amount_text(row.resource, round(row.kept_away)), wide=True),
        Column("NOT ASKED", lambda row: amount_text(row.resource, round(row.not_asked)), wide=True),
        Column("ALLOCATABLE", lambda row: amount_text(row.resource, row.allocatable), wide=True),
    )
    NOTHING: ClassVar[str] = "no pod asks for anything: there is no typical shape (--shape gives one)"

    rows: Tuple[Fragments, ...]
    shapes: Tuple[ShapeRoom, ...]
    covers: Covers  # pods that the shapes stand for


@dataclass(frozen=True)
class FragmentationByShape(Fragmentation):
    """The same, with the shapes as its table."""

    COLUMNS: ClassVar[Tuple[Column, ...]] = (
        Column("SHAPE", lambda row: row.shape),
        Column("SIZE", lambda row: row.size),
        Column("PODS", lambda row: str(row.pods)),
        Column("FREQUENCY", lambda row: f"{row.frequency:.0%}"),
        Column("FITS", lambda row: str(row.fits)),
        Column("NODES", lambda row: str(row.nodes)),
        Column("LARGEST", lambda row: row.largest or "-"),
        Column("ON", lambda row: row.largest_on or "-"),
    )

    @property
    def table(self) -> Sequence[ShapeRoom]:
        """The shapes."""
        return self.shapes


def needs(asked: Asked) -> Needs:  # noqa: ARG001 - whatever is asked, all pods hold something
    """What it is made of."""
    return Needs(("pods", "nodes"), tuple(BETWEEN.values()))


def answer(inputs: Inputs, asked: Asked) -> Fragmentation:
    """Raises NotKnown without pods or nodes, ValueError for a shape that is none."""
    read = read_board(inputs.state)
    board = read.board
    found = given(asked.shapes) if asked.shapes else typical(board, read.waiting, Owners(inputs.state))
    cycles = [Cycle(board, shape.pod) for shape in found.shapes]
    rooms = {name: [room(cycle, node) for cycle in cycles] for name, node in board.nodes.items()}
    known = {node: [one for one in row if one] for node, row in rooms.items() if None not in row}
    rows = _rows(board, found.shapes, known) if found.shapes else ()
    shapes = tuple(_shape_room(shape, place, known) for place, shape in enumerate(found.shapes))
    lost = len(board.nodes) - len(known)
    told = (
        [f"{lost} nodes are left out: what they have or what is requested of them could not be read"]
        if lost
        else []
    )
    if found.left_out:
        told.append(f"{found.left_out} pods ask for nothing, or for what could not be read, and are of no shape")
    worth = worth_of(inputs, needs(asked))
    worth = replace(worth, reasons=(*worth.reasons, *told, *read.troubles))
    findings = _findings(rows, shapes, len(known), lost, inputs.now)
    kind = FragmentationByShape if asked.by == SHAPE else Fragmentation
    return kind(worth, tuple(findings), rows, shapes, Covers(*found.covers, "pods"))


def _rows(board: Board, shapes: Sequence[Shape], rooms: Dict[str, List[Room]]) -> Tuple[Fragments, ...]:
    resources = sorted({name for shape in shapes for name in shape.pod.requests})
    rows = [
        _fragments(board, node, resource, shapes, rooms[node])
        for node in sorted(rooms)
        for resource in resources
        if board.nodes[node].allocatable.get(resource)
    ]
    cluster = [_sum(resource, [row for row in rows if row.resource == resource]) for resource in resources]
    return (*cluster, *rows)


def _fragments(board: Board, node: str, resource: str, shapes: Sequence[Shape], rooms: Sequence[Room]) -> Fragments:
    free = max(0, board.free(node, resource) or 0)
    too_small = kept_away = not_asked = 0.0
    for shape, there in zip(shapes, rooms):
        part = shape.frequency * free
        if there.kept_away:
            kept_away += part
        elif not there.fits:
            too_small += part
        elif resource not in shape.pod.requests:
            not_asked += part
    whole = board.nodes[node].allocatable.get(resource) or 0
    return Fragments(
        node, resource, whole, free, too_small + kept_away + not_asked, too_small, kept_away, not_asked
    )


def _sum(resource: str, rows: Sequence[Fragments]) -> Fragments:
    return Fragments(
        "",
        resource,
        sum(row.allocatable for row in rows),
        sum(row.free for row in rows),
        sum(row.fragmented for row in rows),
        sum(row.too_small for row in rows),
        sum(row.kept_away for row in rows),
        sum(row.not_asked for row in rows),
    )


def _shape_room(shape: Shape, place: int, rooms: Dict[str, List[Room]]) -> ShapeRoom:
    each = {node: row[place] for node, row in rooms.items()}
    best = max(each, key=lambda node: (each[node].scale, node), default="")
    scale = each[best].scale if best else Fraction(0)
    asked = sorted(shape.pod.requests.items())
    size = {name: written_down(name, int((amount or 0) * scale)) for name, amount in asked}
    largest = ",".join(f"{name}={amount_text(name, amount)}" for name, amount in size.items())
    return ShapeRoom(
        shape.name,
        shape.size,
        shape.pods,
        shape.frequency,
        sum(one.fits for one in each.values()),
        sum(one.fits > 0 for one in each.values()),
        largest if scale else "",
        best if scale else "",
        float(scale),
    )


def _findings(
    rows: Sequence[Fragments], shapes: Sequence[ShapeRoom], known: int, lost: int, now: float
) -> List[Finding]:
    nodes = Covers(known, known + lost, "nodes")
    doubts = ("amounts of some nodes are not known",) if lost else ()
    sureness = MEDIUM if lost else HIGH
    found = []
    for row in rows:
        if row.node or not row.free or row.too_small < HALF * row.free:
            continue
        share = row.too_small / row.free
        free, small = (amount_text(row.resource, amount) for amount in (row.free, round(row.too_small)))
        sentence = (
            f"{small} {row.resource} of {free} that are free ({share:.0%}) are in pieces too small for typical pods"
        )
        numbers = (
            Evidence("free", float(row.free), _unit(row.resource), "spec", now, covers=nodes),
            Evidence("too small", row.too_small, _unit(row.resource), "spec", now, covers=nodes),
        )
        found.append(
            Finding(
                FRAGMENTED, WARNING, About("cluster", part=row.resource), sentence, numbers, sureness, doubts,
                "smaller requests, fewer and larger nodes, or a drained node whose pods fit into the pieces",
            )
        )  # fmt: skip
    for shape in shapes:
        if shape.fits == 0:
            found.append(_no_room(shape, nodes, doubts, sureness, now))
    return found


def _no_room(shape: ShapeRoom, nodes: Covers, doubts: Tuple[str, ...], sureness: str, now: float) -> Finding:
    whose = f"{shape.shape} ({shape.size}, {shape.pods} pods)" if shape.pods else shape.shape
    largest = f"; the largest of its proportions that fits is {shape.largest}" if shape.largest else ""
    return Finding(
        NO_ROOM,
        WARNING if shape.pods else INFO,
        About("cluster", name=shape.shape, part=shape.size),
        f"no node takes one more pod like {whose}{largest}",
        (Evidence("fits", 0.0, COUNT, "spec", now, covers=nodes),),
        sureness,
        doubts,
        "a request lowered to what fits, or another node",
    )


def _unit(resource: str) -> str:
    if resource == "cpu":
        return MILLICORES
    return BYTES if resource in ("memory", "ephemeral-storage") or resource.startswith("hugepages-") else COUNT
