"""Nodes in network namespaces of their own, on one bridge: the kernel's own TCP, packets lost.

    n1 ── eth0 ─┐                    each has two addresses, on one interface: 198.18.X.i for
    n2 ── eth0 ─┼─ bridge ─ here     clients and nodes, 198.19.X.i for whoever looks on
    n3 ── eth0 ─┘

Nothing passes from a to b while a takes b for a station that nobody is (a neighbour entry with an
unused hardware address): one direction of one pair, in silence, as with a broken cable. That needs
no packet filter, which small kernels lack. Whoever is root may make all this.
"""

import os
import shutil
import subprocess
from collections.abc import Sequence
from types import TracebackType

from dynamo_bench.chaos.sites import Site
from dynamo_bench.chaos.weather import CLIENTS, Weather
from dynamo_bench.cluster import CannotMeasure

NOBODY = "02:00:00:00:00:01"
"""A hardware address of no interface here."""
HERE = 254
"""The last byte of this side's addresses."""
COMMAND_S = 10.0

LEFT_OUT = ("slow",)
"""Faults that need a proxy."""


class NoNamespaces(CannotMeasure):
    """They cannot be made here; the sentence says why."""


class Namespaces:
    """One bridge with a namespace for each node, inside the context."""

    def __init__(self, weather: Weather, names: Sequence[str], port: int) -> None:
        number = os.getpid() % 250
        self._weather, self._names = weather, list(names)
        self._bridge = f"dynchaos{number}"
        self._data, self._control = f"198.18.{number}", f"198.19.{number}"
        self._blocked: set[tuple[str, str]] = set()
        self.sites = {
            name: Site(
                *(self._address(name), port + i, "0.0.0.0", port + i),
                *(f"{self._control}.{i + 1}", ("ip", "netns", "exec", self._space(name))),
            )
            for i, name in enumerate(self._names)
        }

    async def __aenter__(self) -> "Namespaces":
        try:
            self._make()
        except BaseException:
            self._remove()
            raise
        self._weather.changed = self._changed
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._remove()

    def _make(self) -> None:
        """First goes what a killed process of this number has left. Raises NoNamespaces."""
        self._remove()
        here = [
            f"link add {self._bridge} type bridge",
            f"addr add {self._data}.{HERE}/24 dev {self._bridge}",
            f"addr add {self._control}.{HERE}/24 dev {self._bridge}",
            f"link set {self._bridge} up",
        ]
        _ip(here)
        for number, name in enumerate(self._names, 1):
            space, outer = self._space(name), f"{self._bridge[3:]}v{number}"
            _ip(
                [
                    f"netns add {space}",
                    f"link add {outer} type veth peer name eth0 netns {space}",
                    f"link set {outer} master {self._bridge} up",
                ]
            )
            inside = [
                "link set lo up",
                f"addr add {self._data}.{number}/24 dev eth0",
                f"addr add {self._control}.{number}/24 dev eth0",
                "link set eth0 up",
            ]
            _ip(inside, space)

    def _remove(self) -> None:
        for number, name in enumerate(self._names, 1):
            outer = f"{self._bridge[3:]}v{number}"  # it would go with its namespace, but later
            subprocess.run(["ip", "link", "del", outer], capture_output=True)
            subprocess.run(["ip", "netns", "del", self._space(name)], capture_output=True)
        subprocess.run(["ip", "link", "del", self._bridge], capture_output=True)

    def _changed(self) -> None:
        """Block what the weather says, and nothing else."""
        parties = [*self._names, CLIENTS]
        wanted = set()
        for a in parties:
            for b in parties:
                if a != b and (self._weather.way(a, b).held or self._weather.way(a, b).cut):
                    wanted.add((a, b))
        for sender in parties:
            lines = [
                *(
                    f"neigh del {self._entry(sender, b)}"
                    for a, b in sorted(self._blocked - wanted)
                    if a == sender
                ),
                *(
                    f"neigh replace {self._entry(sender, b)} lladdr {NOBODY} nud permanent"
                    for a, b in sorted(wanted - self._blocked)
                    if a == sender
                ),
            ]
            if lines:
                _ip(lines, None if sender == CLIENTS else self._space(sender))
        self._blocked = wanted

    def _entry(self, sender: str, receiver: str) -> str:
        device = self._bridge if sender == CLIENTS else "eth0"
        return f"{self._address(receiver)} dev {device}"

    def _address(self, party: str) -> str:
        last = HERE if party == CLIENTS else self._names.index(party) + 1
        return f"{self._data}.{last}"

    def _space(self, name: str) -> str:
        return f"{self._bridge}-{name}"


def are_possible() -> bool:
    """Whether this process may make network namespaces and links between them."""
    if os.geteuid() != 0 or shutil.which("ip") is None:
        return False
    space, bridge = f"dyntry{os.getpid()}", f"dyntry{os.getpid() % 10_000}"
    try:
        _ip([f"netns add {space}", f"link add {bridge} type bridge"])
    except NoNamespaces:
        return False
    finally:
        subprocess.run(["ip", "netns", "del", space], capture_output=True)
        subprocess.run(["ip", "link", "del", bridge], capture_output=True)
    return True


def _ip(lines: Sequence[str], space: str | None = None) -> None:
    """Run `ip` commands in a namespace. Raises NoNamespaces."""
    command = ["ip", *(("-n", space) if space else ()), "-batch", "-"]
    told = subprocess.run(
        command, input="\n".join(lines), text=True, capture_output=True, timeout=COMMAND_S
    )
    if told.returncode:
        raise NoNamespaces(f"ip {lines[0]}: {told.stderr.strip()}")
