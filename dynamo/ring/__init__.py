"""Floor F1: where data lives. Hashing, the ring as a value, and the planner that places replicas.

Dynamo paper, section 4.2 and 6.2 (strategy 3: Q equal partitions, placement apart from them).
"""

from dynamo.ring.hashing import partition_of, token_of
from dynamo.ring.placement import Plan, plan
from dynamo.ring.ring import Member, Move, Ring

__all__ = ["Member", "Move", "Plan", "Ring", "partition_of", "plan", "token_of"]
