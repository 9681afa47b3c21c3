"""Timers by the thousand at the price of a list append.

Deadlines are rounded up to a grid of `grain_ms`; all that fall on one grid point share a bucket.
An operation that ends early does not cancel its timer: whoever receives a token checks whether it
still means something. So the hot path pays one append, and memory is bounded by the rate of
operations times their timeout.
"""

from collections.abc import Hashable
from heapq import heappop, heappush
from typing import Generic, TypeVar

Token = TypeVar("Token", bound=Hashable)


class TimerWheel(Generic[Token]):
    """Tokens by the time at which they are due."""

    __slots__ = ("_buckets", "_grain_ms", "_order")

    def __init__(self, grain_ms: float) -> None:
        self._grain_ms = grain_ms
        self._buckets: dict[int, list[Token]] = {}
        self._order: list[int] = []

    def add(self, due_ms: float, token: Token) -> None:
        """Hand `token` back at the first grid point not before `due_ms`."""
        slot = int(due_ms / self._grain_ms) + 1
        bucket = self._buckets.get(slot)
        if bucket is None:
            self._buckets[slot] = [token]
            heappush(self._order, slot)
        else:
            bucket.append(token)

    def due(self, now_ms: float) -> list[Token]:
        """Take out every token whose time has come, in order."""
        tokens: list[Token] = []
        while self._order and self._order[0] * self._grain_ms <= now_ms:
            tokens += self._buckets.pop(heappop(self._order))
        return tokens

    def deadline(self) -> float | None:
        """When `due` has something next."""
        return self._order[0] * self._grain_ms if self._order else None
