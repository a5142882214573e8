"""Whether advice can be taken over: LimitRange, ResourceQuota with the rollout's surge, a node that holds it. Pure.

Each check gives a sentence: an obstacle, or what was proven. What is not known is a doubt, and proves nothing.
"""

from __future__ import annotations

from typing import Any, Dict, List, Mapping, NamedTuple, Optional, Sequence, Tuple

from krm.analysis.inputs import Body, NotKnown, State
from krm.analysis.quota.scopes import scopes_of, selects
from krm.analysis.scheduling.board import Board, read_board
from krm.analysis.scheduling.parsed import Pod, pod_of
from krm.analysis.scheduling.predicates import Cycle
from krm.model.amounts import CPU, MEMORY, NANO, Amounts, Troubles, read
from krm.model.podresources import LIMITS, REQUESTS, Held, pod_resources
from krm.model.quantities import BadQuantity, parse, written_bytes, written_nanos
from krm.model.reading import mapping, rows, text

# Name of a quota's resource -> the field and the resource of a pod that it counts.
_COUNTED = {
    "cpu": (REQUESTS, CPU), "requests.cpu": (REQUESTS, CPU), "limits.cpu": (LIMITS, CPU),
    "memory": (REQUESTS, MEMORY), "requests.memory": (REQUESTS, MEMORY), "limits.memory": (LIMITS, MEMORY),
}  # fmt: skip
_MOST_REPLACED = 20  # pods of a rollout that are placed one after another


class Proof(NamedTuple):
    """What was found."""

    feasible: Optional[bool]  # None = not all could be checked
    obstacles: Tuple[str, ...]
    proven: Tuple[str, ...]
    doubts: Tuple[str, ...]


class Room:
    """What of one state bounds advice."""

    def __init__(self, state: State) -> None:
        self._ranges, self._quotas = _by_namespace(state, "limitranges"), _by_namespace(state, "resourcequotas")
        self._board: Optional[Board] = None
        self._why = ""
        try:
            self._board = read_board(state).board
        except NotKnown as error:
            self._why = str(error)

    def proof(self, news: Sequence[Body], old: Sequence[Body], surge: int, replicas: int) -> Proof:
        """Of one rollout. old: the workload's pods that run. news: each as it would be; without any, one of its
        template."""
        new = news[0]
        namespace = text(mapping(new.get("metadata")).get("namespace"))
        obstacles: List[str] = []
        proven: List[str] = []
        doubts: List[str] = []
        if self._ranges is None:
            doubts.append("LimitRanges are not known")
        else:
            found = _ranges(self._ranges.get(namespace, ()), new)
            obstacles += found
            if self._ranges.get(namespace) and not found:
                proven.append("within every LimitRange")
        if self._quotas is None:
            doubts.append("ResourceQuotas are not known")
        else:
            quotas = self._quotas.get(namespace, ())
            found = _quotas(quotas, new, old, surge, replicas)
            obstacles += found
            if quotas and not found:
                proven.append(f"within every ResourceQuota, with {surge} more while it rolls out")
        if self._board is None:
            doubts.append(f"no node was tried: {self._why}")
        else:
            place = _placed(self._board, news, old, surge)
            (obstacles if place.is_obstacle else proven).append(place.sentence)
            doubts += place.doubts
        feasible = False if obstacles else None if doubts else True
        return Proof(feasible, tuple(obstacles), tuple(proven), tuple(doubts))


def _by_namespace(state: State, kind: str) -> Optional[Mapping[str, Sequence[Body]]]:
    bodies = state.maybe(kind)
    if bodies is None:
        return None
    found: Dict[str, List[Body]] = {}
    for body in sorted(bodies, key=lambda one: text(mapping(one.get("metadata")).get("name"))):
        found.setdefault(text(mapping(body.get("metadata")).get("namespace")), []).append(body)
    return found


def written(resource: str, amount: int) -> str:
    """Of nano-units: 250m, 64Mi."""
    return written_nanos(amount) if resource == CPU else written_bytes(-(-amount // NANO))


# LimitRange -------------------------------------------------------------------------------------


def _ranges(ranges: Sequence[Body], pod: Body) -> List[str]:
    found: List[str] = []
    resources = pod_resources(dict(pod))
    for body in ranges:
        name = text(mapping(body.get("metadata")).get("name"))
        for item in rows(mapping(body.get("spec")).get("limits")):
            if item.get("type") == "Container":
                for one in resources.containers:
                    found += _bounds(f"limitrange {name}: container {one.name}", item, one.asked)
            elif item.get("type") == "Pod":
                found += _bounds(f"limitrange {name}: the pod", item, resources.totals)
    return found


def _bounds(whom: str, item: Mapping[str, Any], asked: Held) -> List[str]:
    silent = Troubles(whom)
    least, most = read(item.get("min"), silent, "min"), read(item.get("max"), silent, "max")
    found = []
    for resource in (CPU, MEMORY):
        request, limit = _effective(item, asked, resource)
        low, high = least.get(resource), most.get(resource)
        if low is not None and request is not None and request < low:
            below = f"{whom}: {resource} request {written(resource, request)} is below the least"
            found.append(f"{below}, {written(resource, low)}")
        above = next((one for one in (limit, request) if one is not None and high is not None and one > high), None)
        if above is not None and high is not None:
            found.append(
                f"{whom}: {resource} {written(resource, above)} is above the most, {written(resource, high)}"
            )
        ratio = _ratio(item, resource)
        if ratio is not None and request and limit is not None and limit > ratio * request:
            found.append(
                f"{whom}: {resource} limit is {limit / request:.2f} times the request, at most {ratio:g} is allowed"
            )
    return found


def _effective(item: Mapping[str, Any], asked: Held, resource: str) -> Tuple[Optional[int], Optional[int]]:
    """With the defaults that admission fills in."""
    silent = Troubles("")
    limit = asked[LIMITS].get(resource, read(item.get("default"), silent, "").get(resource))
    request = asked[REQUESTS].get(resource)
    if request is None and resource not in asked[REQUESTS]:
        request = (
            limit
            if resource in asked[LIMITS]
            else read(item.get("defaultRequest"), silent, "").get(resource, limit)
        )
    return request, limit


def _ratio(item: Mapping[str, Any], resource: str) -> Optional[float]:
    try:
        found = mapping(item.get("maxLimitRequestRatio")).get(resource)
        return None if found is None else float(parse(str(found)))
    except BadQuantity:
        return None


# ResourceQuota ----------------------------------------------------------------------------------


def _quotas(quotas: Sequence[Body], new: Body, old: Sequence[Body], surge: int, replicas: int) -> List[str]:
    found: List[str] = []
    wanted = pod_resources(dict(new)).totals
    held = [pod_resources(dict(pod)).totals for pod in old]
    for body in quotas:
        if selects(scopes_of(body), new) is False:
            continue
        name = text(mapping(body.get("metadata")).get("name"))
        silent = Troubles(f"resourcequota {name}")
        status = mapping(body.get("status"))
        hards = mapping(status.get("hard")) or mapping(mapping(body.get("spec")).get("hard"))
        for resource, (field, amount_of) in _COUNTED.items():
            if resource not in hards:
                continue
            hard = _read_one(hards, resource, amount_of, silent)
            used = _read_one(mapping(status.get("used")), resource, amount_of, silent)
            one = wanted[field].get(amount_of)
            if hard is None or used is None:
                continue
            if one is None or (amount_of not in wanted[field]):
                found.append(f"resourcequota {name} has {resource}: a pod without one is refused")
                continue
            before = sum(each[field].get(amount_of) or 0 for each in held)
            count = max(len(old), replicas)
            # While it rolls out the surge is there beside all; when it is done only the new ones are.
            during = surge * one + (max(0, count * one - before) if surge or one * count > before else 0)
            if used + during > hard:
                found.append(
                    f"resourcequota {name}: {resource} needs {written(amount_of, during)} more with its surge, "
                    f"{written(amount_of, max(0, hard - used))} of {written(amount_of, hard)} are left"
                )
    return found


def _read_one(amounts: Mapping[str, Any], name: str, resource: str, silent: Troubles) -> Optional[int]:
    plain: Amounts = read({resource: amounts[name]}, silent, name) if name in amounts else {}
    return plain.get(resource)


# Nodes ------------------------------------------------------------------------------------------


class _Place(NamedTuple):
    sentence: str
    is_obstacle: bool = False
    doubts: Tuple[str, ...] = ()


def _placed(board: Board, news: Sequence[Body], old: Sequence[Body], surge: int) -> _Place:
    """As many new pods beside the old ones as may surge, then one ends and one starts."""
    olds = [one for one in map(pod_of, old[:_MOST_REPLACED]) if one.node in board.nodes]
    doubts: Tuple[str, ...] = ()
    if len(old) > _MOST_REPLACED:
        doubts = (f"of the rollout the first {_MOST_REPLACED} pods were placed",)
    nodes = _order(board, olds)
    placed: List[str] = []
    pods = list(map(pod_of, news[:_MOST_REPLACED]))
    replacing = len(olds) == len(pods) and _take_their_places(pods, olds, surge)
    for number, pod in enumerate(pods):
        if replacing and number >= max(surge, 1):
            placed.append(olds[number - surge].node)  # which has just ended there, and asked for no less
            continue
        pod = pod._replace(node="", name=f"{pod.name}-new")
        if 0 <= number - surge < len(olds):
            board = _without(board, olds[number - surge])
        cycle = Cycle(board, pod)
        doubts += tuple(one for one in (*pod.troubles, *cycle.doubts) if one not in doubts)
        fitting = next((node for node in nodes if cycle.refusal(node) is None), None)
        if fitting is None:
            return _Place(f"no node holds pod {number + 1} of the rollout: {_reasons(cycle, nodes)}", True, doubts)
        board = board.with_pods(fitting, [*board.pods_on(fitting), pod._replace(node=fitting)])
        placed.append(fitting)
    names = sorted(set(placed))
    told = ", ".join(names[:3]) + (" and others" if len(names) > 3 else "")
    return _Place(f"{len(placed)} pods fit on {told}, {surge} beside the old ones", False, doubts)


def _take_their_places(news: Sequence[Pod], olds: Sequence[Pod], surge: int) -> bool:
    """They ask for no more of anything, and nothing but resources says where they may be beside others."""
    new = news[0]
    if new.near or new.apart or new.spread or new.ports or (surge and new.wish.named() is not None):
        return False
    if any(one.troubles for one in (*news, *olds)) or any(one.requests != new.requests for one in news):
        return False
    for old in olds:
        asked = ((amount, old.requests.get(name, 0)) for name, amount in new.requests.items())
        if not all(amount is not None and held is not None and amount <= held for amount, held in asked):
            return False
    return True


def _order(board: Board, olds: Sequence[Pod]) -> List[str]:
    """Nodes that hold one of them already, then those with the most free."""
    own = list(dict.fromkeys(one.node for one in olds))
    others = sorted(
        (node for node in board.nodes if node not in own), key=lambda node: (-(board.free(node, CPU) or 0), node)
    )
    return own + others


def _without(board: Board, pod: Pod) -> Board:
    return board.with_pods(pod.node, [one for one in board.pods_on(pod.node) if one.key != pod.key])


def _reasons(cycle: Cycle, nodes: Sequence[str]) -> str:
    counts: Dict[str, int] = {}
    for node in nodes:
        refusal = cycle.refusal(node)
        for reason in refusal.reasons if refusal else ():
            counts[reason] = counts.get(reason, 0) + 1
    return ", ".join(f"{count} {reason}" for reason, count in sorted(counts.items())) or "there are no nodes"
