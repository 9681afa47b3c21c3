"""Disks fill up, lose values and come back old, one of them at a time; and the cluster mends it."""

from quiet_run import QuietRun

from dynamo.testing.convergence import damaged
from dynamo.testing.disk_faults import DiskFaults
from dynamo.testing.network_faults import Episode


def begun(faults: DiskFaults, kind: str) -> Episode:
    """An episode of that kind, on whichever machine can have one."""
    for _ in range(1000):
        if (episode := getattr(faults, kind)()) is not None:
            return episode  # type: ignore[no-any-return]
    raise AssertionError(f"no machine can have {kind}")


def filled(seed: int) -> tuple[QuietRun, DiskFaults]:
    """Items in every table, also in the checkpoint tables."""
    run = QuietRun(seed)
    for number in range(8):
        run.write(number, b"payload %d" % number)
    for machine in run.cluster.machines.values():
        machine.stop()
        run.pass_until(lambda machine=machine: machine.process is None)  # type: ignore[misc]
        machine.start()
    run.settle()
    return run, DiskFaults(run.cluster)


def test_a_full_disk_takes_no_puts_until_there_is_room_again() -> None:
    run, faults = filled(1)
    ends = [begun(faults, "full_disk")[1] for _ in range(40)]
    run.world.run_until(run.world.now + 300.0)
    stores = [machine.process.store for machine in run.cluster.machines.values() if machine.process]
    assert {store.engine.refusal() for store in stores} == {"disk full"}
    for heal in ends:
        heal()
    run.world.run_until(run.world.now + 300.0)
    assert {store.engine.refusal() for store in stores} == {None}
    run.write(0, b"again")


def test_a_damaged_value_is_repaired_once_somebody_looks_at_it() -> None:
    run, faults = filled(2)
    begun(faults, "damaged_value")
    ((node, key),) = damaged(run.cluster)
    assert not run.cluster.machines[node].is_whole()
    assert faults.damaged_value() is faults.lost_disk() is faults.old_image() is None
    run.scenario.clients[0].look_at(node, key)
    run.pass_until(lambda: not damaged(run.cluster))
    assert run.cluster.machines[node].is_whole()


def test_an_old_image_is_found_out_and_rebuilt() -> None:
    run, faults = filled(3)
    assert all(faults.old_image() is None for _ in range(100)), "no peer knows a later start"
    run.write(1, b"after the images")
    for machine in run.cluster.machines.values():
        machine.kill()
        machine.start()
    run.settle()
    run.world.run_until(run.world.now + 300.0)
    _, start = begun(faults, "old_image")
    (old,) = [machine for machine in run.cluster.machines.values() if machine.disk.is_old]
    assert not old.is_whole()
    start()
    run.pass_until(old.is_whole)
    run.settle()
    assert not old.disk.is_old
