"""The first minutes of a client: the first seed that answers tells what the cluster is."""

import asyncio
from contextlib import suppress

from dynamo.errors import DynamoError, IncompatiblePeer, WrongCluster
from dynamo_client.calls import Calls
from dynamo_client.clock import ClusterClock
from dynamo_client.errors import NoNodeAnswered
from dynamo_client.links import Links
from dynamo_client.router import ask_cluster
from dynamo_client.seeds import Seed, reason_of
from dynamo_client.view import View

SETTLE_S = 0.25
"""How long opening waits for the other nodes, so that the first operations find their links."""


async def first_view(
    seeds: tuple[Seed, ...], links: Links, calls: Calls, clock: ClusterClock, timeout_ms: int
) -> View:
    """Ask all seeds at once; the first answer is taken.

    Raises NoNodeAnswered with the reason of each, or WrongCluster or IncompatiblePeer if that is
    the reason of all.
    """

    async def ask(seed: Seed) -> View:
        peer = await links.greet(seed)
        return await ask_cluster(calls, clock, peer, timeout_ms)

    asking = {asyncio.create_task(ask(seed)): seed for seed in seeds}
    errors: dict[Seed, BaseException] = {}
    try:
        async with asyncio.timeout(timeout_ms / 1000):
            for answer in asyncio.as_completed(asking):
                with suppress(OSError, DynamoError):
                    return await answer
    except TimeoutError:
        errors = {seed: TimeoutError() for task, seed in asking.items() if not task.done()}
    finally:
        for task in asking:
            task.cancel()
        await asyncio.wait(asking)
    for task, seed in asking.items():
        if not task.cancelled() and (error := task.exception()) is not None:
            errors[seed] = error
    raise _error(seeds, errors)


async def settled(links: Links) -> None:
    """Every link that is being dialed is open or refused; not waited for long."""
    undecided = [peer for peer in links.peers.values() if peer.is_undecided]
    if undecided:
        with suppress(TimeoutError):
            async with asyncio.timeout(SETTLE_S):
                await asyncio.gather(*(links.decided(peer) for peer in undecided))


def _error(seeds: tuple[Seed, ...], errors: dict[Seed, BaseException]) -> Exception:
    for kind in (WrongCluster, IncompatiblePeer):
        if errors and all(isinstance(error, kind) for error in errors.values()):
            return kind(str(next(iter(errors.values()))))
    causes = tuple((str(seed), reason_of(errors.get(seed, TimeoutError()))) for seed in seeds)
    return NoNodeAnswered(causes)
