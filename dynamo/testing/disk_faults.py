"""What befalls a disk: it is slow, full, fails a sync, forgets a value, is lost, comes back old.

One loss at a time, because P1 speaks of W-1 disks: a disk is lost, set back to an old image, or has
a value damaged only while all that any disk should hold is whole. An old image is one from before
the node's last start, of which every peer knows: what was written since an image was taken, with no
start in between, looks like a crash that lost nothing. A disk that was rebuilt is whole, but lacks
what only a stand-in keeps: a loss beside hints is the last of its run.
"""

from random import Random
from typing import ClassVar

from dynamo.errors import CorruptData
from dynamo.keys import partition_of_key, table_of_key
from dynamo.repair.lives import decode_lives, start_number
from dynamo.testing.cluster import Cluster, Machine
from dynamo.testing.links import LIVES
from dynamo.testing.machine_faults import DOWN_MS
from dynamo.testing.network_faults import EPISODE_MS, Episode
from dynamo.testing.store import DISK_BYTES, Image
from dynamo.types import ItemKey

LOW_BYTES = (1 << 18, 1 << 19)
"""Free room on a disk that is nearly full: below the reserve, so that only deletes go on."""
VALUES_TRIED = 5
LOSES_DISKS = ("lost disk", "old image", "damaged value")
"""What happens only while all disks are whole."""
NEEDS_FSYNC = ("failed fsync",)
"""What takes acknowledged writes along unless every group is synced before it counts. Without that
no power fails either."""


class DiskFaults:
    """Episodes of one disk."""

    KINDS: ClassVar = (
        *("slow disk", "failed fsync", "full disk", "damaged value"),
        *("lost disk", "old image"),
    )
    ON_REQUEST: ClassVar = ("damaged value", "old image")
    """Not among the kinds that are drawn by themselves: what they find, together with others, is
    not all mended yet (docs/simulator.md)."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self.rng: Random = cluster.world.rng("disk faults")
        """Of the episode that begins."""
        self._machines = list(cluster.machines.values())
        self._images: dict[str, Image] = {}
        self._lost_beside_hints = False

    def heal(self) -> None:
        """Let no disk ail any more."""
        for machine in self._machines:
            machine.disk.slowness = 1.0
            machine.disk.next_sync_fails = False
            machine.disk.files.capacity_bytes = DISK_BYTES

    def slow_disk(self) -> Episode:
        """Every sync takes many times as long."""
        disk = self._machine().disk
        disk.slowness = self.rng.choice((5.0, 30.0, 150.0))
        return self._lasting(), lambda: setattr(disk, "slowness", 1.0)

    def failed_fsync(self) -> Episode | None:
        """The next sync fails, which ends the process."""
        machine = self._machine()
        runs = machine.process is not None and machine.process.accepts()
        if not runs or machine.disk.is_old:
            return None
        machine.disk.next_sync_fails = True

        def heal() -> None:
            machine.disk.next_sync_fails = False
            machine.start()

        return self._down() + 100.0, heal

    def full_disk(self) -> Episode:
        """Somebody else fills a disk: nearly, or to the last byte."""
        files = self._machine().disk.files
        left = self.rng.choice((0, 0, *LOW_BYTES))
        files.capacity_bytes -= max(0, files.free_bytes() - left)
        return self._lasting(), lambda: setattr(files, "capacity_bytes", DISK_BYTES)

    def damaged_value(self) -> Episode | None:
        """A value on a disk is no longer what was written there, and nothing newer hides it."""
        machine = self._machine()
        process, disk = machine.process, machine.disk
        if process is None or not process.accepts() or not self._all_whole():
            return None
        keys = [key for key in sorted(disk.table.values) if self._owns(machine, ItemKey(key))]
        for key in self.rng.sample(keys, min(len(keys), VALUES_TRIED)):
            sound = disk.table.values[key]
            disk.table.values[key] = bytes([sound[0] ^ 1]) + sound[1:]
            try:
                process.store.engine.get(ItemKey(key))
            except CorruptData:
                self._lost_beside_hints = self._cluster.keeps_hints()
                disk.lose_record(ItemKey(key))
                return self._lasting(), lambda: None
            disk.table.values[key] = sound
        return None

    def lost_disk(self) -> Episode | None:
        """A disk is gone, an empty one stands in its place."""
        machine = self._machine()
        if not self._all_whole():
            return None
        self._lost_beside_hints = self._cluster.keeps_hints()
        machine.lose_disk()
        return self._down(), machine.start

    def old_image(self) -> Episode | None:
        """A disk is what it was some time ago."""
        machine = self._machine()
        image = self._images.get(machine.name)
        if not self._all_whole():
            return None
        if image is None or not self._is_known_as_old(machine, image):
            self._images.setdefault(machine.name, machine.disk.image())
            return None
        self._lost_beside_hints = self._cluster.keeps_hints()
        machine.lose_disk(self._images.pop(machine.name))
        return self._down(), machine.start

    def _owns(self, machine: Machine, key: ItemKey) -> bool:
        """A rebuilt node may also hold items of tables whose N is too small for it."""
        n = self._cluster.table(table_of_key(key)).n
        return machine.name in self._cluster.topology.ring.preference_list(partition_of_key(key), n)

    def _all_whole(self) -> bool:
        members = self._cluster.members()
        if self._cluster.topology.is_joint or self._lost_beside_hints:
            return False
        return all(each.is_whole() for each in members)

    def _is_known_as_old(self, machine: Machine, image: Image) -> bool:
        """Whether every peer durably remembers that the node has started again since."""
        incarnation, epoch, _ = image.identity()
        start = start_number(epoch + 1, 0)
        for other in self._cluster.members():
            known = decode_lives(other.disk.promised.get(LIVES)).get(machine.name)
            if other is machine or (known is not None and known.shows_old_copy(incarnation, start)):
                continue
            return False
        return True

    def _machine(self) -> Machine:
        return self.rng.choice(self._machines)

    def _down(self) -> float:
        return self.rng.uniform(*DOWN_MS)

    def _lasting(self) -> float:
        return self.rng.uniform(*EPISODE_MS)
