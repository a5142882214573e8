"""The faults that a round may draw. Each is a function of (paper, rng) and leaves its healing to `Paper.heal`."""

from __future__ import annotations

import random
import time
from typing import Callable, Dict

from faults.paper import Paper, wait

Fault = Callable[[Paper, random.Random], None]
STAGES = ("aggregator", "verifier", "streamer")


def kill_stage(paper: Paper, rng: random.Random) -> None:
    """SIGKILL, begun anew a moment later."""
    stage = rng.choice(STAGES)
    if paper.pipeline.runs(stage):
        paper.pipeline.kill(stage)
        time.sleep(rng.uniform(0, 0.5))
        paper.pipeline.start(stage)


def stop_stage(paper: Paper, rng: random.Random) -> None:
    """SIGSTOP until healed, or woken within the round."""
    stage = rng.choice(STAGES)
    if paper.pipeline.runs(stage):
        paper.pipeline.pause(stage)
        if rng.random() < 0.5:
            time.sleep(rng.uniform(0.2, 1.5))
            paper.pipeline.resume(stage)


def terminate_stage(paper: Paper, rng: random.Random) -> None:
    """SIGTERM: a clean end; another process follows."""
    stage = rng.choice(STAGES)
    if paper.pipeline.runs(stage):
        paper.pipeline.stop(stage)
        paper.pipeline.start(stage)


def second_stage(paper: Paper, rng: random.Random) -> None:
    """Two aggregators, or two streamers, of one kind."""
    name = rng.choice(("aggregator+", "streamer+"))
    if not paper.pipeline.runs(name):
        paper.pipeline.start(name)


def zombie_aggregator(paper: Paper, rng: random.Random) -> None:
    """SIGSTOP of the aggregator; a second one takes over, then the first one wakes."""
    pipeline = paper.pipeline
    if pipeline.runs("aggregator+") or not pipeline.runs("aggregator"):
        return
    pipeline.pause("aggregator")
    pipeline.start("aggregator+")
    time.sleep(rng.uniform(2.5, 3.5))
    pipeline.resume("aggregator")


def flush_redis(paper: Paper, rng: random.Random) -> None:
    """FLUSHALL while all run."""
    if paper.pipeline.redis.process is not None:
        paper.pipeline.flush()


def kill_redis(paper: Paper, rng: random.Random) -> None:
    """SIGKILL of Redis; it comes back empty."""
    if paper.pipeline.redis.process is None:
        return
    paper.pipeline.kill_redis()
    time.sleep(rng.uniform(0, 0.8))
    paper.pipeline.start_redis()


def pause_redis(paper: Paper, rng: random.Random) -> None:
    """SIGSTOP of Redis for a moment: every command hangs."""
    if paper.pipeline.redis.process is not None:
        paper.pipeline.redis.pause()
        time.sleep(rng.uniform(0.2, 1.5))
        paper.pipeline.redis.resume()


def restore_redis(paper: Paper, rng: random.Random) -> None:
    """Redis dies and comes back with what it held a moment ago."""
    if paper.pipeline.redis.process is None:
        return
    copy = paper.pipeline.copy_redis()
    time.sleep(rng.uniform(0.3, 1.0))
    paper.redis_went_back = True
    paper.pipeline.kill_redis()
    paper.pipeline.start_redis(copy)


def proxy_cut(paper: Paper, rng: random.Random) -> None:
    paper.proxies[rng.choice(list(paper.proxies))].cut()


def proxy_refuse(paper: Paper, rng: random.Random) -> None:
    paper.proxies[rng.choice(list(paper.proxies))].refuse()


def proxy_stall(paper: Paper, rng: random.Random) -> None:
    paper.proxies[rng.choice(list(paper.proxies))].stall()


def proxy_delay(paper: Paper, rng: random.Random) -> None:
    paper.proxies[rng.choice(list(paper.proxies))].delay(rng.uniform(0.01, 0.1))


def proxy_half_line(paper: Paper, rng: random.Random) -> None:
    paper.proxies["streamer"].cut_mid_line()


def proxy_eat(paper: Paper, rng: random.Random) -> None:
    """Any events, or deletions alone, never arrive."""
    paper.proxies["streamer"].eat(rng.randint(1, 5), rng.choice((b"", b'"DELETED"')))


def upstream_drop(paper: Paper, rng: random.Random) -> None:
    """The API server's own watch loses events."""
    paper.world.faults.drop(rng.choice(paper.kinds), rng.randint(1, 8))


def storm_410(paper: Paper, rng: random.Random) -> None:
    """Every watch ends with 410, and lists are refused with it."""
    for fault in rng.sample(("watch_410", "http_410"), rng.randint(1, 2)):
        paper.world.faults.last(fault, seconds=rng.uniform(0.3, 1.5))


def too_many_requests(paper: Paper, rng: random.Random) -> None:
    paper.world.faults.last("http_429", seconds=rng.uniform(0.5, 1.5), value=1.0)


def server_errors(paper: Paper, rng: random.Random) -> None:
    paper.world.faults.last("http_500", seconds=rng.uniform(0.5, 2.0))


def server_away(paper: Paper, rng: random.Random) -> None:
    """Connections are refused until healed."""
    paper.server.stop()


def slow_lists(paper: Paper, rng: random.Random) -> None:
    paper.world.faults.last("slow", value=rng.uniform(0.1, 0.6))


def compaction(paper: Paper, rng: random.Random) -> None:
    """What was is forgotten, and all watches end: resuming gets a 410."""
    paper.world.compact()
    paper.world.faults.cut_all()


def stalled_watch(paper: Paper, rng: random.Random) -> None:
    """Watches stay open and say nothing, not even bookmarks."""
    paper.world.faults.last("stall", seconds=rng.uniform(0.5, 2.0))


def stale_replica(paper: Paper, rng: random.Random) -> None:
    """An API server whose cache stands still."""
    paper.world.faults.stale(rng.choice(paper.kinds))


def garbage(paper: Paper, rng: random.Random) -> None:
    """A line that does not parse."""
    paper.world.faults.count("garbage", rng.choice(paper.kinds))


def duplicates(paper: Paper, rng: random.Random) -> None:
    paper.world.faults.count("duplicate", rng.choice(paper.kinds), rng.randint(1, 10))


def unasked_gzip(paper: Paper, rng: random.Random) -> None:
    paper.world.faults.last("gzip", seconds=1.0)


def rollback(paper: Paper, rng: random.Random) -> None:
    """etcd is restored to an older revision; until krm has found out, nobody writes."""
    rate, paper.churn.rate = paper.churn.rate, 0.0
    paper.heal()  # the world may only go back where somebody can find out
    paper.live()
    before = {kind: view.head().incarnation for kind, view in paper.views.items()}
    heads = [int(view.head().rv) for view in paper.views.values()]
    paper.truth.roll_back(min(heads) - rng.randint(1, 20))
    # A kind whose last revision is below what was undone has lost nothing, but its F is ahead all the same.
    for kind, view in paper.views.items():
        wait(f"{kind} is another incarnation", lambda v=view, k=kind: v.head().incarnation not in ("", before[k]))
    paper.live()
    paper.truth.doubt_over()
    paper.churn.rate = rate


FAULTS: Dict[str, Fault] = {
    fault.__name__: fault
    for fault in (
        kill_stage, stop_stage, terminate_stage, second_stage, zombie_aggregator,
        flush_redis, kill_redis, pause_redis, restore_redis,
        proxy_cut, proxy_refuse, proxy_stall, proxy_delay, proxy_half_line, proxy_eat,
        upstream_drop, storm_410, too_many_requests, server_errors, server_away, slow_lists, compaction,
        stalled_watch, stale_replica, garbage, duplicates, unasked_gzip, rollback,
    )
}  # fmt: skip
