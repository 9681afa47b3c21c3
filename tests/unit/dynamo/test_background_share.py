"""The governor in a node: background work gives way within two seconds, and comes back."""

from kernel_cluster import KernelCluster

STEP_MS = 100


def load(cluster: KernelCluster, ms: int, disk_ms: int) -> None:
    """Ten puts each 100 ms, on disks that take so long."""
    for _ in range(ms // STEP_MS):
        for machine in cluster.machines.values():
            machine.disk_stopped = disk_ms > 0
        for number in range(10):
            cluster.begin_put("n1", b"key-%d" % number, b"value")
        cluster.settle()
        cluster.pass_ms(disk_ms)
        for machine in cluster.machines.values():
            machine.disk_stopped = False
        cluster.settle()
        cluster.pass_ms(STEP_MS - disk_ms)


def shares(cluster: KernelCluster, at: str = "n1") -> dict[str, float]:
    found: dict[str, float] = cluster.kernel(at).status()["background_share"]
    return found


def test_the_share_falls_within_two_seconds_and_returns() -> None:
    cluster = KernelCluster()
    load(cluster, 3000, 0)
    assert set(shares(cluster).values()) == {1.0}
    load(cluster, 2000, 60)
    low = shares(cluster)
    assert low["exchange"] <= 1 / 8
    assert low["sweep"] == low["exchange"]
    assert low["rebuild"] == 0.25, "what restores durability has its least share"
    assert set(shares(cluster, "n2").values()) == {1.0}, "nobody waits for it there"
    load(cluster, 10_000, 0)
    assert set(shares(cluster).values()) == {1.0}
