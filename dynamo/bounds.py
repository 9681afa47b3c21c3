"""Everything that can grow, with its bound and what happens there (promise P9).

The registry is complete: a test looks for every constant and field whose name ends in `max` (but
for delays, which end in `ms_max` or `s_max`) and fails for one that is neither here nor among
`OTHER_LIMITS`, which bound no store; another fills each to its bound. docs/bounds.md is this table.

A limit is written `module:NAME` or `module:Class.field`, and never imported: this floor is below
all that it names.
"""

from collections.abc import Mapping

from dynamo.bound import Bound
from dynamo.bounds_edges import CONNECTIONS, LOGS
from dynamo.bounds_shop import SHOP, SHOP_OTHER_LIMITS

_LIMITS, _WIRE = "dynamo.limits:Limits", "dynamo.wire.limits:LinkLimits"
_NODE, _ENGINE = "dynamo.limits:NodeLimits", "dynamo.storage.port:EngineOptions"
_KERNEL_TEST = "unit/dynamo/test_bounds_of_kernel.py"
_EXCHANGE_TEST = "unit/dynamo/repair/test_exchange.py"
_ENGINE_TEST = "contract/test_engine_contract.py"

OPERATIONS: tuple[Bound, ...] = (
    Bound(
        "client operations in flight at a node",
        (f"{_NODE}.operations_in_flight_max",),
        "the next is refused: Overloaded, not applied, with retry-after",
        "dynamo_operations_in_flight",
        f"{_KERNEL_TEST}::test_operations_of_all_clients",
    ),
    Bound(
        "operations in flight of one connection",
        (f"{_NODE}.operations_per_client_max",),
        "the same for this client; others go on",
        "dynamo_overloaded_total",
        f"{_KERNEL_TEST}::test_operations_of_one_client",
    ),
    Bound(
        "requests passed on to an owner",
        (f"{_NODE}.forwards_max",),
        "the next is refused: Overloaded",
        "dynamo_forwards_total",
        f"{_KERNEL_TEST}::test_forwards",
    ),
    Bound(
        "answered puts that wait for slow replicas",
        ("dynamo.coordination.puts:SETTLING_MAX",),
        "the oldest is watched no more; a later read finds and repairs a difference",
        "",
        f"{_KERNEL_TEST}::test_puts_that_settle",
    ),
    Bound(
        "records kept decoded for their next writer",
        (
            "dynamo.coordination.recent:RECENT_MAX",
            "dynamo.coordination.recent:RECENT_RECORD_BYTES_MAX",
        ),
        "the oldest is forgotten, larger records are not kept: they are decoded again",
        "",
        "unit/dynamo/coordination/test_recent.py::test_it_is_bounded_in_number_and_in_bytes",
    ),
    Bound(
        "items that a client's session remembers, and for how long",
        ("dynamo_client.session:SESSION_ITEMS_MAX", "dynamo_client.session:SESSION_AGE_S"),
        "the oldest is forgotten, and what is not remembered is read at N-W+1",
        "",
        "unit/dynamo_client/test_session.py"
        "::test_beyond_the_bound_the_oldest_is_forgotten_and_read_at_a_quorum",
    ),
    Bound(
        "a session's token",
        ("dynamo_client.session:TOKEN_ITEMS_MAX", "dynamo_client.session:TOKEN_BYTES_MAX"),
        "the newest items are in it; others are read at N-W+1 where it is restored",
        "",
        "unit/dynamo_client/test_session.py::test_a_token_is_bounded_in_bytes_too",
    ),
    Bound(
        "when this node last said that it has nothing of an item",
        ("dynamo.coordination.away:DENIED_MAX",),
        "the oldest word is taken to have been about all items: older writes wait for an owner",
        "",
        "unit/dynamo/coordination/test_away.py"
        "::test_beyond_the_bound_a_word_is_taken_to_have_been_about_all",
    ),
    Bound(
        "timers of requests",
        ("dynamo.coordination.scope:DEADLINE_MS_MAX", "dynamo_node.grpc_service:DEADLINE_MS_MAX"),
        "a longer deadline is cut to this, so timers are at most so old",
        "",
        "unit/dynamo/test_kernel_input.py::test_an_endless_deadline_has_an_end",
    ),
    Bound(
        "extra reads saved up for hedging",
        ("dynamo.coordination.peers:HEDGE_BURST",),
        "no more are saved; without any left a slow read waits",
        "dynamo_hedges_total",
        "unit/dynamo/coordination/test_peers.py::test_savings_are_bounded",
    ),
    Bound(
        "read repairs that wait",
        (f"{_NODE}.repairs_queued_max",),
        "new ones are dropped and counted; a later read finds the difference again",
        "dynamo_repairs_queued",
        f"{_KERNEL_TEST}::test_repairs_that_wait",
    ),
    Bound(
        "read repairs that read",
        ("dynamo.coordination.repairs:RUNNING_MAX",),
        "the others wait their turn",
        "",
        f"{_KERNEL_TEST}::test_repairs_that_run",
    ),
    Bound(
        "scans of a rebuilding node",
        ("dynamo.repair.rebuild:SCANS_MAX",),
        "other partitions wait; while the store is full, all do",
        "dynamo_partitions_missing",
        f"{_KERNEL_TEST}::test_scans_of_a_rebuild",
    ),
    Bound(
        "a page of a scan",
        ("dynamo.replica.replica:PAGE_ITEMS_MAX", "dynamo.replica.replica:PAGE_BYTES_MAX"),
        "the page ends after the item that reaches it; the next follows when asked for",
        "",
        f"{_KERNEL_TEST}::test_a_page",
    ),
    Bound(
        "comparisons with co-owners",
        (),
        "one at a time, begun by either side; others are told `busy` and try again",
        "dynamo_in_sync_age_seconds",
        f"{_EXCHANGE_TEST}::test_who_compares_with_another_is_busy",
    ),
    Bound(
        "a message of a comparison",
        (
            "dynamo.messages_exchange:NODES_AT_ONCE_MAX",
            "dynamo.messages_exchange:KEYS_AT_ONCE_MAX",
            "dynamo.repair.trees:ROWS_MAX",
        ),
        "the rest follows in the next; a longer one is refused",
        "",
        "unit/dynamo/test_message_shapes.py::test_what_types_alone_do_not_say_is_checked_too",
    ),
    Bound(
        "records that a comparison moves before the other side is heard",
        ("dynamo.repair.walk:PUSH_BYTES_MAX", "dynamo.repair.answering:READ_BYTES_MAX"),
        "no more are sent until the next question or answer",
        "dynamo_exchange_bytes_total",
        f"{_EXCHANGE_TEST}::test_pages_are_bounded_in_keys_and_bytes",
    ),
    Bound(
        "tombstones that wait for all owners",
        (
            "dynamo.repair.collection:CANDIDATES_MAX",
            "dynamo.messages_exchange:CLAIMS_AT_ONCE_MAX",
            "dynamo.messages_exchange:PLACES_AT_ONCE_MAX",
        ),
        "others stay in the store and are found by a later sweep; more partitions go in the next "
        "message",
        "dynamo_tombstones_waiting",
        "promises/test_p6_deletes.py::test_so_many_tombstones_wait_in_memory",
    ),
    Bound(
        "damaged records that a slice of the sweep has repaired",
        ("dynamo.repair.collection:DAMAGED_AT_ONCE_MAX",),
        "the next slice asks for others; repairs that wait have their own bound",
        "dynamo_damaged_keys",
        "promises/test_p1_damaged_value.py::test_so_many_damaged_values_are_asked_for_at_once",
    ),
    Bound(
        "hints under way to a returned owner",
        ("dynamo.repair.handoff:WINDOW_MAX", "dynamo.repair.handoff:WINDOW_BYTES_MAX"),
        "the next goes when one of them is acknowledged; one is always under way",
        "",
        "unit/dynamo/repair/test_handoff.py::test_a_window_has_a_bound_in_number_and_in_bytes",
    ),
    Bound(
        "records that a former owner asks a present one about",
        ("dynamo.repair.strays:PAGE_ROWS_MAX", "dynamo.repair.strays:PAGE_BYTES_MAX"),
        "the next page comes when these are dropped; one record always fits",
        "",
        "unit/dynamo/repair/test_strays.py::test_a_page_has_a_bound_in_number_and_in_bytes",
    ),
    Bound(
        "former lives of a peer's disk",
        ("dynamo.repair.lives:FORMER_MAX",),
        "the oldest is forgotten",
        "",
        "unit/dynamo/repair/test_lives.py::test_only_so_many_lost_disks_are_remembered",
    ),
    Bound(
        "questions asked for peers that do not hear another",
        ("dynamo.membership.detector:ERRANDS_MAX",),
        "the oldest is given up; who asked asks again",
        "",
        "unit/dynamo/membership/test_detector.py::test_errands_are_bounded",
    ),
    Bound(
        "claims in one message of gossip",
        ("dynamo.membership.gossip:NEWS_BYTES_MAX",),
        "the others go with the next one",
        "",
        "unit/dynamo/membership/test_gossip.py::test_a_message_is_bounded_whatever_happens_at_once",
    ),
)
"""In the core."""

ITEMS: tuple[Bound, ...] = (
    Bound(
        "a partition key, a sort key",
        (f"{_LIMITS}.key_bytes_max", f"{_LIMITS}.sort_key_bytes_max"),
        "the request is refused: KeyTooLarge",
        "",
        "unit/dynamo/test_kernel_input.py::test_a_wrong_put_changes_nothing_and_says_why",
    ),
    Bound(
        "a value",
        (f"{_LIMITS}.value_bytes_max", "dynamo.config:TableConfig.value_bytes_max"),
        "the put is refused: ValueTooLarge",
        "",
        "unit/dynamo/test_kernel_input.py::test_a_wrong_put_changes_nothing_and_says_why",
    ),
    Bound(
        "siblings of an item",
        (f"{_LIMITS}.siblings_max", "dynamo.config:TableConfig.siblings_max"),
        "the put that adds one is refused: TooManySiblings; merges and deletes never are",
        "dynamo_too_many_siblings_total",
        f"{_KERNEL_TEST}::test_siblings",
    ),
    Bound(
        "a record",
        (f"{_LIMITS}.record_bytes_max",),
        "the put is refused: ValueTooLarge; merges and deletes never are",
        "",
        "unit/dynamo/coordination/test_composing.py"
        "::test_a_record_over_its_limit_takes_deletes_only",
    ),
    Bound(
        "operation ids that a record remembers",
        (f"{_LIMITS}.operations_max", "dynamo.siblings.record:Window.operations_max"),
        "the oldest go and raise the floor; a retry below it is answered `unknown`",
        "",
        f"{_KERNEL_TEST}::test_operations_of_a_record",
    ),
    Bound(
        "operation ids that a record remembers because they were tried more than once",
        ("dynamo.siblings.record:RETRIED_MAX",),
        "the oldest are remembered like others, and go with them",
        "",
        "unit/dynamo/siblings/test_retried.py::test_no_more_are_kept_than_the_bound",
    ),
    Bound(
        "gaps of one writer in a record",
        ("dynamo.coordination.puts:GAPS_MAX",),
        "they are closed as soon as all owners agree on the record and no other member keeps more",
        "",
        "promises/test_p4_causality.py"
        "::test_a_hundred_crashes_of_coordinators_leave_a_context_no_larger_than_a_few",
    ),
    Bound(
        "records that other members are asked about before their gaps are closed",
        ("dynamo.repair.closing:OPEN_MAX",),
        "others keep their gaps until a later write",
        "",
        "unit/dynamo/repair/test_closing.py::test_no_more_are_asked_about_than_the_bound",
    ),
    Bound(
        "a context",
        ("dynamo.siblings.codec:CONTEXT_BYTES_MAX",),
        "it is refused unread: InvalidContext",
        "",
        "unit/dynamo/test_kernel_input.py::test_a_wrong_put_changes_nothing_and_says_why",
    ),
)
"""In records."""

STORE: tuple[Bound, ...] = (
    Bound(
        "writes that no checkpoint has covered, and those that wait for the log",
        (
            f"{_NODE}.memory_table_bytes_max",
            f"{_ENGINE}.memory_bytes_max",
        ),
        "a checkpoint is due at half; at the bound every write and delete is refused, at the "
        "coordinator (Overloaded) and at replicas, and a rebuild waits",
        "dynamo_memory_table_bytes",
        f"{_KERNEL_TEST}::test_a_full_store",
    ),
    Bound(
        "one group of the log",
        (f"{_ENGINE}.group_bytes_max",),
        "what waits beyond goes in the next group",
        "dynamo_commit_group_writes",
        f"{_ENGINE_TEST}::test_a_group_has_a_bound_and_tokens_keep_their_order",
    ),
    Bound(
        "the log",
        (f"{_ENGINE}.log_bytes_max", "dynamo.storage.engine:SEGMENTS_MAX"),
        "a checkpoint is due; its segments are used again",
        "dynamo_log_bytes",
        "unit/dynamo/storage/test_log_bound.py::test_overwriting_for_ever_does_not_grow_the_log",
    ),
    Bound(
        "hints kept for owners that are away",
        (f"{_NODE}.hints_bytes_max",),
        "the next is refused and the coordinator asks the next fallback; a write that W nodes took "
        "is never refused for it, a later read repairs what is missing; when owners change, what "
        "is kept for a former one is kept for each of the N present ones, also beyond the bound",
        "dynamo_hints_bytes",
        "unit/dynamo/repair/test_hints.py::test_at_the_bound_hints_are_refused_and_counted",
    ),
    Bound(
        "the disk",
        (f"{_NODE}.disk_reserve_bytes", f"{_ENGINE}.disk_reserve_bytes"),
        "below the reserve puts are refused (Overloaded, `disk full`); deletes and gets go on",
        "dynamo_disk_free_bytes",
        "integration/test_sick_disk.py::test_a_full_disk_refuses_puts_and_goes_on",
    ),
    Bound(
        "keys noted as damaged",
        ("dynamo.ports:DAMAGED_KEYS_MAX",),
        "no more are noted; they are found again when they are read",
        "dynamo_damaged_keys",
        "unit/dynamo/storage/test_damaged_keys.py::test_only_so_many_are_noted",
    ),
)
"""In the engine."""

CLIENT: tuple[Bound, ...] = (
    Bound(
        "requests in flight of one client",
        ("dynamo_client.calls:OPEN_MAX", "dynamo_client.peer:IN_FLIGHT_MAX"),
        "more wait for a slot, first come first served, until their deadline",
        "",
        "unit/dynamo_client/test_calls.py::test_more_calls_than_slots_wait_their_turn",
    ),
    Bound(
        "retries that may be made",
        ("dynamo_client.calls:RETRY_BURST",),
        "no more are saved up; without any left a failure is told instead of tried again",
        "",
        "unit/dynamo_client/test_attempts.py::test_a_budget_saves_a_share_up_to_its_burst",
    ),
    Bound(
        "items whose stamp is ahead of the clock",
        ("dynamo_client.clock:ITEMS_AHEAD_MAX",),
        "the oldest is forgotten",
        "",
        "unit/dynamo_client/test_cluster_clock.py::test_only_so_many_items_are_remembered",
    ),
    Bound(
        "seeds",
        ("dynamo_client.seeds:SEEDS_MAX",),
        "more are refused: InvalidRequest",
        "",
        "unit/dynamo_client/test_connecting.py::test_wrong_seeds_are_refused",
    ),
)
"""In a client."""

BOUNDS: dict[str, tuple[Bound, ...]] = {
    "Operations": OPERATIONS,
    "Items": ITEMS,
    "Store": STORE,
    "Connections": CONNECTIONS,
    "Logs": LOGS,
    "Client": CLIENT,
    "Shop": SHOP,
}

OTHER_LIMITS: dict[str, str] = {
    "dynamo.config:NODES_MAX": "members of the built-in configuration",
    "dynamo.config:PARTITIONS_MAX": "Q, fixed at creation",
    "dynamo.coordination.composing:COUNTER_MAX": "what no dot's counter reaches",
    "dynamo.keys:TABLE_ID_MAX": "a number's range",
    "dynamo.messages:OWNER_CHARS_MAX": "a member's name",
    "dynamo.ring.hashing:PARTITIONS_MAX": "Q, fixed at creation",
    "dynamo.ring.hashing:TABLE_ID_MAX": "a number's range",
    "dynamo.ring.ring:MEMBERS_MAX": "members of a ring",
    "dynamo.ring.ring:Ring.n_max": "the largest N of any table",
    "dynamo.siblings.codec:STAMP_MAX": "a number's range",
    "dynamo.siblings.operation_token:KEY_BYTES_MAX": "the range of a limit",
    "dynamo.siblings.operation_token:TOKEN_CHARS_MAX": "one argument, refused unread",
    "dynamo.storage.long_keys:DIRECT_BYTES_MAX": "a chunk of a key's layout",
    "dynamo.wire.handshake:Hello.version_max": "a version",
    "dynamo.wire.handshake:PROTOCOL_MAX": "a version",
    "dynamo_client.router:EAGER_MAX": "below it all members are linked at once",
    "dynamo_node.grpc_failures:MESSAGE_CHARS_MAX": "one text, cut",
    "dynamo_node.grpc_failures:OPERATION_CHARS_MAX": "one text, left out",
    "dynamo_node.metrics:EngineState.memory_table_bytes_max": "a figure that is shown",
    "dynamo.storage.port:EngineFigures.memory_bytes_max": "a figure that is shown",
    "dynamo_node.restarts:ATTEMPTS_MAX": "deaths before `up` gives up",
    "dynamo_node.yaml_tree:_DEPTH_MAX": "nesting of a configuration file",
    **SHOP_OTHER_LIMITS,
}
"""Names that end in `max` and bound nothing that grows while a node or a client runs."""


def as_markdown(values: Mapping[str, str]) -> str:
    """docs/bounds.md. `values`: each limit's default, by its name here."""
    lines = [
        "# Bounds",
        "",
        "Everything that can grow while a node, a client or the shop runs, what bounds it by",
        "default, and what happens there. Made from `dynamo/bounds.py`; the tests fill each to its",
        "bound.",
    ]
    for part, bounds in BOUNDS.items():
        lines += ["", f"## {part}", ""]
        lines += ["| what grows | bound | at the bound | metric |", "|---|---|---|---|"]
        for bound in bounds:
            names = ", ".join(f"`{_short(name)}` {values[name]}" for name in bound.limits)
            metric = f"`{bound.metric}`" if bound.metric else ""
            lines.append(f"| {bound.grows} | {names} | {bound.policy} | {metric} |")
    return "\n".join([*lines, ""])


def _short(limit: str) -> str:
    return limit.partition(":")[2]
