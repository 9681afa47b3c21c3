"""What each command does, as coroutines from a database to an answer; how it is said is apart."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from dynamo.ring import Ring
from dynamo_client.cli_output import (
    DONE,
    NOT_APPLIED,
    NOT_FOUND,
    UNKNOWN,
    context_text,
    lenient,
    shown,
)
from dynamo_client.database import Database
from dynamo_client.item import Item


class Answer(NamedTuple):
    """A command's result: its exit status, its JSON object, its lines for people."""

    status: int
    json: dict[str, Any]
    lines: list[str]
    notes: tuple[str, ...] = ()
    """Lines beside the result, on stderr."""


class Target(NamedTuple):
    """The item a command is about."""

    table: str
    key: str
    sort_key: str
    strict: bool = False

    def as_json(self) -> dict[str, Any]:
        """Its part of the JSON object."""
        return {"table": self.table, "key": self.key, "sort_key": self.sort_key}


async def get(db: Database, target: Target, r: int | None) -> Answer:
    """All live values of an item."""
    table = db.table(target.table, lenient(), strict=target.strict)
    item = await table.get(target.key, sort_key=target.sort_key, r=r)
    told = {
        **target.as_json(),
        "found": item.found,
        "values": item.values,
        "context": context_text(item.context),
    }
    if not item.found:
        return Answer(NOT_FOUND, told, [], (f"{target.key!r} is not in {target.table}",))
    if len(item.values) == 1:
        return Answer(DONE, told, [shown(item.value)])
    return Answer(DONE, told, _siblings(item))


async def put(
    db: Database, target: Target, value: Any, context: bytes | None, blind: bool, w: int | None
) -> Answer:
    """Write in place of what `context` covers, of what is there now, or of nothing."""
    table = db.table(target.table, lenient(), strict=target.strict)
    if context is None and not blind:
        context = (await table.get(target.key, sort_key=target.sort_key)).context
    after = await table.put(target.key, value, context, sort_key=target.sort_key, w=w)
    return _applied(target, after)


async def delete(
    db: Database, target: Target, context: bytes | None, blind: bool, w: int | None
) -> Answer:
    """Remove what `context` covers, or all that is there now."""
    table = db.table(target.table, lenient(), strict=target.strict)
    if context is None and not blind:
        item = await table.get(target.key, sort_key=target.sort_key)
        context = item.context
        if not item.found:
            told = {**target.as_json(), "outcome": "not found", "context": context_text(context)}
            return Answer(NOT_FOUND, told, [], (f"{target.key!r} is not in {target.table}",))
    after = await table.delete(target.key, context or b"", sort_key=target.sort_key, w=w)
    return _applied(target, after)


async def outcome(db: Database, operation_id: str) -> Answer:
    """What became of a write."""
    state = await db.outcome(operation_id)
    status = {"applied": DONE, "not applied": NOT_APPLIED}.get(state, UNKNOWN)
    return Answer(status, {"operation_id": operation_id, "outcome": state}, [state])


async def status(db: Database) -> Answer:
    """How each node is."""
    told = await db.status()
    rows = [("node", "address", "state", "peers", "to them", "in flight", "to rebuild")]
    for name, node in told["nodes"].items():
        peers = node.get("peers", {})
        up = sum(state == "up" for state in peers.values())
        rows.append(
            (
                name,
                node["address"],
                node["state"] + (f" ({node['reason']})" if "reason" in node else ""),
                f"{up} of {len(peers)} up" if peers else "",
                seen(name, told["nodes"]),
                str(node.get("operations_in_flight", "")),
                str(node.get("partitions_missing", "")),
            )
        )
    tables = [
        f"table {name}: N/R/W {table['n']}/{table['r']}/{table['w']}, {table['conflict_rule']}, "
        + ("sloppy" if table["sloppy"] else "strict")
        for name, table in told["tables"].items()
    ]
    head = f"cluster {told['cluster']}, ring epoch {told['ring_epoch']}"
    return Answer(DONE, told, [head, "", *columns(rows), "", *tables])


def seen(name: str, nodes: dict[str, Any]) -> str:
    """What a node is to the others, the worst first: `suspect to n2 for 12 s; alive to n3 …`.
    One that is known to live by hearsay only is `silent`, one that comes and goes `unsteady`."""
    views: dict[str, dict[str, float]] = {
        state: {} for state in ("left", "dead", "suspect", "unsteady", "silent", "alive")
    }
    for other, report in nodes.items():
        view = report.get("members", {}).get(name)
        if view is not None:
            word = {("alive", False): "silent", ("suspect", True): "unsteady"}.get(
                (view["state"], view["answers"]), view["state"]
            )
            views[word][other] = view["for_s"]
    return "; ".join(
        f"{state} to {', '.join(to) if len(to) < 4 else len(to)} for {max(to.values()):.0f} s"
        for state, to in views.items()
        if to
    )


async def hints(db: Database) -> Answer:
    """Which node keeps how many hints for whom."""
    nodes = (await db.status())["nodes"]
    kept = {name: node["hints"] for name, node in nodes.items() if node.get("hints")}
    rows = [("kept by", "for", "hints")]
    rows += [(name, owner, str(n)) for name, of in kept.items() for owner, n in of.items()]
    told = {
        "hints": kept,
        "bytes": {name: nodes[name]["hints_bytes"] for name in kept},
        "silent": [name for name, node in nodes.items() if "hints" not in node],
    }
    notes = tuple(f"{name} does not answer" for name in told["silent"])
    return Answer(DONE, told, columns(rows) if kept else ["no hints"], notes)


async def ring(db: Database) -> Answer:
    """Who holds what."""
    held = db.ring()
    n = held.n_max
    rows = [("node", "host", "zone", "weight", "first", f"of the first {n}")]
    members = []
    for member in held.members:
        first, among = (
            len(held.primaries_of(member.node, 1)),
            len(held.primaries_of(member.node, n)),
        )
        rows.append(
            (
                member.node,
                member.host,
                member.zone or "-",
                f"{member.weight:g}",
                str(first),
                str(among),
            )
        )
        members.append({**member._asdict(), "first": first, "replica": among})
    told = {
        "epoch": held.epoch,
        "partitions": held.partitions,
        "n_max": n,
        "members": members,
        "preference_lists": _lists(held),
    }
    head = f"ring epoch {held.epoch}, {held.partitions} partitions"
    return Answer(DONE, told, [head, "", *columns(rows)])


def columns(rows: Sequence[tuple[str, ...]]) -> list[str]:
    """Rows as aligned lines; the first row is the heading."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]


def _applied(target: Target, context: bytes) -> Answer:
    told = {**target.as_json(), "outcome": "applied", "context": context_text(context)}
    return Answer(DONE, told, ["applied"])


def _siblings(item: Item) -> list[str]:
    """All concurrent values, and what to do about them."""
    lines = [f"{len(item.values)} siblings:"]
    lines += [f"{number}: {shown(value)}" for number, value in enumerate(item.values, 1)]
    lines.append(f"context: {context_text(item.context)}")
    return lines


def _lists(ring: Ring) -> list[list[str]]:
    return [[*owners[: ring.n_max]] for owners in ring.owners]
