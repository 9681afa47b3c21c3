"""The storage node: an asyncio shell around the kernel; `dynamo-node`; `LocalCluster` for tests."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dynamo_node.local_cluster import LocalCluster

__all__ = ["LocalCluster"]


def __getattr__(name: str) -> Any:
    """Import the cluster only when it is asked for: the command line starts faster without."""
    if name == "LocalCluster":
        try:
            from dynamo_node.local_cluster import LocalCluster
        except ModuleNotFoundError as missing:
            raise ImportError(f"{missing}; pip install 'dynamo-kv[node]'") from missing
        return LocalCluster
    raise AttributeError(f"module 'dynamo_node' has no attribute {name!r}")
