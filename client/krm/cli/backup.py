"""`krm backup FILE`: a copy of the measurements' history as of one moment, while it is written.

Where a collector keeps it, the copy comes from there; with --history from a file that none has open.
"""

from __future__ import annotations

import argparse

from krm.cli.opening import read_token
from krm.cli.terminal import say
from krm.client.direct import told
from krm.client.directory import Directory
from krm.client.errors import Unreachable
from krm.client.locate import locate
from krm.store.connect import connect
from krm.store.history.asked import NoHistory
from krm.store.history.backup import backup, fetched
from krm.store.history.collected import Collected
from krm.store.history.lease import FileLease
from krm.store.history.remote import RemoteHistory


def run(args: argparse.Namespace) -> int:
    """0 once the file is there, whole."""
    try:
        digest = _from_file(args) if args.history else fetched(_remote(args).copy, args.file)
    except NoHistory as error:
        raise Unreachable(str(error)) from None
    say(f"{args.file}: digest {digest}")
    return 0


def _from_file(args: argparse.Namespace) -> str:
    """Raises NoHistory: what its collector holds in memory would be missing from the copy."""
    lease = FileLease(args.history)
    try:
        return backup(args.history, args.file)
    finally:
        lease.release()


def _remote(args: argparse.Namespace) -> RemoteHistory:
    place = locate(args.redis, args.cluster)
    token = read_token(args.history_token_file or place.history_token_file)
    with told():
        database = connect(place.url, name="krm-backup")
        cluster = Directory(database, place.cluster).cluster
    return RemoteHistory(Collected(database, cluster), token)
