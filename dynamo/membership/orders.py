"""What a client's order to change the members comes to: the topology to be proposed.

AskChange ─▶ wanted ─▶ joint epoch (join, leave, replace, weight)
                   ├─▶ the old ring again (cancel)
                   └─▶ the final ring, unproven; or the same ring with other voters (force)
"""

from typing import Any

from dynamo.errors import InvalidRequest
from dynamo.limits import ConfigError, check_name
from dynamo.membership.change import Change
from dynamo.membership.paxos import Voter
from dynamo.membership.plan import Change as Wish
from dynamo.membership.plan import Join, Leave, Replace, Weight, plan_of, sentence_of
from dynamo.membership.topology import Topology, cancelled, forced, joint
from dynamo.messages_members import AskChange
from dynamo.ring.ring import Member
from dynamo.types import NodeId

Addresses = dict[NodeId, tuple[str, int]]


def wanted(
    order: AskChange, topology: Topology, change: Change | None, addresses: Addresses, asked: Voter
) -> Topology:
    """The epoch to be decided. `asked`: the member that got the order. Raises InvalidRequest with
    a sentence."""
    if order.epoch != topology.epoch:
        raise InvalidRequest(
            f"it was planned on epoch {order.epoch}, but {topology.epoch} is in force; plan again"
        )
    if order.action == "force":
        return _unproven(frozenset(_names(order.fields)), topology, change, asked)
    if order.action == "cancel":
        if change is None:
            raise InvalidRequest("no change is under way")
        return cancelled(topology, change.lives())
    if topology.is_joint:
        raise InvalidRequest(f"a change is under way ({topology.change}); cancel it, or wait")
    wish, known = _wish(order), dict(addresses)
    if isinstance(wish, Join | Replace):
        known[wish.member.node] = place = _address(order.fields[-2:])
        goes = wish.dead if isinstance(wish, Replace) else wish.member.node
        for node in topology.members:
            if known.get(node) == place and node not in (goes, wish.member.node):
                raise InvalidRequest(f"{place[0]}:{place[1]} is where {node} is reached")
    made = plan_of(wish, topology.ring)
    listed = tuple((node, *known[node]) for node in sorted(known))
    return joint(topology, made.target, sentence_of(wish), listed)


def _unproven(
    lost: frozenset[NodeId], topology: Topology, change: Change | None, asked: Voter
) -> Topology:
    """The end of the change under way; without one, the ring as it is and fewer voters."""
    voters = [voter.node for voter in topology.voters]
    for node in sorted(lost - {*voters, *topology.members}):
        raise InvalidRequest(f"no member is called {node}; votes have {', '.join(voters)}")
    if change is not None:
        return change.forced(lost, asked).topology
    if not lost:
        raise InvalidRequest("no change is under way; name the members whose votes are lost")
    return forced(topology, lost, asked)


def _wish(order: AskChange) -> Wish:
    """The change in an order that anybody may have sent."""
    match order.action, order.fields:
        case "join", [*newcomer, _, _]:
            return Join(_member(newcomer))
        case "replace", [str(dead), *newcomer, _, _]:
            return Replace(NodeId(dead), _member(newcomer))
        case "leave", [str(node)]:
            return Leave(NodeId(node))
        case "weight", [str(node), int() | float() as weight]:
            return Weight(NodeId(node), float(weight))
    raise InvalidRequest(f"no change is called {order.action!r} with {len(order.fields)} fields")


def _member(fields: list[Any]) -> Member:
    match fields:
        case [str(node), str(host), str(zone), int() | float() as weight]:
            try:
                check_name("the newcomer", node)
            except ConfigError as error:
                raise InvalidRequest(str(error)) from error
            return Member(NodeId(node), host or node, zone, float(weight))
    raise InvalidRequest("a newcomer is a name, a host, a zone and a weight")


def _address(fields: tuple[Any, ...]) -> tuple[str, int]:
    match fields:
        case [str(host), int(port)] if host and 0 < port < 1 << 16:
            return host, port
    raise InvalidRequest("a newcomer needs an address and a port, where the others reach it")


def _names(fields: tuple[Any, ...]) -> list[NodeId]:
    if all(type(name) is str for name in fields):
        return [NodeId(name) for name in fields]
    raise InvalidRequest("lost nodes are named")
