"""One node of the yardstick: the least that a durable quorum store in Python has to do.

    put   coordinator: bump the clock, store here and at both peers, answer at W = 2
    get   coordinator: own record and one peer's, answer with the value (R = 2)
    disk  one append and one fdatasync per group of puts; LMDB in the background

No siblings, no repair, no failure handling, no limits: nothing that a user needs, so its rates
are about what CPython allows on the machine it runs on. The cluster is measured as a ratio to it.

Run by `dynamo_bench.yardstick`: ARGV = index, directory, 1 or 0 for fdatasync, a port per node.
"""

import asyncio
import os
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import lmdb
import mmh3
import msgpack
import uvloop

from dynamo_bench.yardstick_wire import FETCH, PUT, STORE, Asker, Wire

W = 2
SEGMENT_BYTES = 1 << 28
CHECKPOINT_S = 1.0
MAP_BYTES = 1 << 36

_pack = msgpack.Packer().pack


class Journal:
    """Group commit: what arrives while one group is being synced is the next group."""

    def __init__(self, path: Path, *, fdatasync: bool) -> None:
        self._file = os.open(path, os.O_CREAT | os.O_WRONLY, 0o600)
        os.posix_fallocate(self._file, 0, SEGMENT_BYTES)
        self._fdatasync = fdatasync
        self._position = 0
        self._loop = asyncio.get_running_loop()
        self._thread = ThreadPoolExecutor(1)
        self._entries: list[bytes] = []
        self._acknowledgements: list[Callable[[], None]] = []
        self._busy = False

    def append(self, entry: bytes, acknowledge: Callable[[], None]) -> None:
        """Make `entry` durable, then call `acknowledge`."""
        self._entries.append(entry)
        self._acknowledgements.append(acknowledge)
        if not self._busy:
            self._busy = True
            self._loop.call_soon(self._start_group)

    def _start_group(self) -> None:
        entries, self._entries = self._entries, []
        acknowledgements, self._acknowledgements = self._acknowledgements, []
        group = self._loop.run_in_executor(self._thread, self._write, entries)
        group.add_done_callback(lambda _: self._end_group(acknowledgements))

    def _end_group(self, acknowledgements: list[Callable[[], None]]) -> None:
        for acknowledge in acknowledgements:
            acknowledge()
        if self._entries:
            self._start_group()
        else:
            self._busy = False

    def _write(self, entries: list[bytes]) -> None:
        group = b"".join(entries)
        if self._position + len(group) > SEGMENT_BYTES:
            self._position = 0  # where a store would go on in its next segment
        os.pwrite(self._file, group, self._position)
        self._position += len(group)
        if self._fdatasync:
            os.fdatasync(self._file)


class Store:
    """Records: in memory until a checkpoint has put them into LMDB."""

    def __init__(self, directory: Path, *, fdatasync: bool) -> None:
        directory.mkdir(parents=True)
        self._lmdb = lmdb.open(str(directory), map_size=MAP_BYTES, sync=fdatasync)
        self._journal = Journal(directory / "journal", fdatasync=fdatasync)
        self._young: dict[bytes, bytes] = {}
        self._leaving: dict[bytes, bytes] = {}
        self._loop = asyncio.get_running_loop()
        self._thread = ThreadPoolExecutor(1)
        self._loop.call_later(CHECKPOINT_S, self._start_checkpoint)

    def get(self, key: bytes) -> bytes | None:
        """The newest record."""
        record = self._young.get(key) or self._leaving.get(key)
        if record is None:
            with self._lmdb.begin() as transaction:
                record = transaction.get(key)
        return record

    def put(self, key: bytes, record: bytes, acknowledge: Callable[[], None]) -> None:
        """Readable at once, acknowledged when durable."""
        self._young[key] = record
        self._journal.append(_pack((key, record)), acknowledge)

    def _start_checkpoint(self) -> None:
        self._leaving, self._young = self._young, {}
        written = self._loop.run_in_executor(self._thread, self._checkpoint)
        written.add_done_callback(lambda _: self._end_checkpoint())

    def _end_checkpoint(self) -> None:
        self._leaving = {}
        self._loop.call_later(CHECKPOINT_S, self._start_checkpoint)

    def _checkpoint(self) -> None:
        with self._lmdb.begin(write=True) as transaction, transaction.cursor() as cursor:
            cursor.putmulti(sorted(self._leaving.items()))


class Coordinator:
    """Answers one node's requests out of its own store and its peers'."""

    def __init__(self, me: int, store: Store, peers: list[Asker]) -> None:
        self._me = me
        self._store = store
        self._peers = peers

    def received(self, wire: Wire, requests: Iterator[Any]) -> None:
        """Start on every request that came in."""
        for number, verb, key, value in requests:
            if verb == STORE:
                self._store.put(key, value, partial(wire.send, (number, None)))
            elif verb == FETCH:
                wire.send((number, self._store.get(key)))
            elif verb == PUT:
                self._put(wire, number, key, value)
            else:
                self._get(wire, number, key)

    def _put(self, wire: Wire, number: int, key: bytes, value: bytes) -> None:
        before = self._store.get(key)
        clock = _clock_and_value(before)[0] if before else {}
        clock[self._me] = clock.get(self._me, 0) + 1
        record = _pack((clock, value))
        lacking = W

        def acknowledge(_: object = None) -> None:
            nonlocal lacking
            lacking -= 1
            if lacking == 0:
                wire.send((number, None))

        self._store.put(key, record, acknowledge)
        for peer in self._peers:
            peer.ask(STORE, key, record, acknowledge)

    def _get(self, wire: Wire, number: int, key: bytes) -> None:
        own = self._store.get(key)

        def answer(other: bytes | None) -> None:
            record = own or other
            wire.send((number, _clock_and_value(record)[1] if record else None))

        peer = self._peers[mmh3.hash(key) % len(self._peers)]
        peer.ask(FETCH, key, None, answer)


def _clock_and_value(record: bytes) -> tuple[dict[int, int], bytes]:
    clock, value = msgpack.unpackb(record, strict_map_key=False)
    return clock, value


async def serve(me: int, directory: Path, ports: list[int], *, fdatasync: bool) -> None:
    """Be one node until standard input ends, which it does at the latest with the parent.

    Prints a line once connected to its peers.
    """
    loop = asyncio.get_running_loop()
    store = Store(directory, fdatasync=fdatasync)
    peers = [Asker() for port in ports if port != ports[me]]
    coordinator = Coordinator(me, store, peers)
    await loop.create_server(lambda: Wire(coordinator.received), "127.0.0.1", ports[me])
    others = [port for port in ports if port != ports[me]]
    for peer, port in zip(peers, others, strict=True):
        await peer.connect(port)
    print("ready", flush=True)
    ended = asyncio.Event()
    loop.add_reader(sys.stdin.fileno(), ended.set)
    await ended.wait()
    os._exit(0)  # what is still in memory may be lost: nobody reads it again


if __name__ == "__main__":
    index, path, synced, *node_ports = sys.argv[1:]
    uvloop.run(serve(int(index), Path(path), list(map(int, node_ports)), fdatasync=synced == "1"))
