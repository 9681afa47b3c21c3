"""The bounds of what a node has to do with the world: connections, and lines of its log;
`dynamo.bounds` has the others, and says what this is for."""

from dynamo.bound import Bound

_LIMITS = "dynamo.limits:Limits"
_WIRE = "dynamo.wire.limits:LinkLimits"
_NODE = "dynamo.limits:NodeLimits"
_GRPC = "dynamo_node.grpc_edge:GrpcOptions"
_LINK_TEST = "unit/dynamo/wire/test_link.py"
_LINK_BOUNDS_TEST = "unit/dynamo/wire/test_link_bounds.py"
_FRAMES_TEST = "unit/dynamo/wire/test_frames.py"
_GRPC_TEST = "unit/dynamo_node/test_grpc_edge.py"
_METRICS_TEST = "unit/dynamo_node/test_metrics.py"

CONNECTIONS: tuple[Bound, ...] = (
    Bound(
        "unsent bytes of a link",
        (f"{_NODE}.link_bytes_max", f"{_WIRE}.outgoing_bytes_max"),
        "it is cut: a slow peer counts as failed, a client reconnects",
        "dynamo_link_queued_bytes",
        f"{_LINK_TEST}::test_who_never_reads_is_cut_at_the_budget",
    ),
    Bound(
        "messages of one tick on a link",
        ("dynamo.wire.sender:OUTBOX_MAX",),
        "they are written at once, as a frame of their own; so is what is heavy",
        "",
        f"{_LINK_BOUNDS_TEST}::test_heavy_messages_of_one_tick_are_cut_at_the_budget",
    ),
    Bound(
        "answers to one long frame",
        ("dynamo_node.node:MESSAGES_AT_ONCE_MAX",),
        "the rest of the frame waits until these are handed to the link, and goes if it was cut",
        "",
        "integration/test_memory_bounds.py::test_clients_that_never_read_are_cut_off",
    ),
    Bound(
        "what all clients together make a node hold",
        (f"{_NODE}.clients_bytes_max", f"{_WIRE}.clients_bytes_max"),
        "the client that holds most is cut off until it is less",
        "dynamo_client_queued_bytes",
        f"{_LINK_BOUNDS_TEST}::test_of_many_clients_the_one_that_holds_most_goes",
    ),
    Bound(
        "connections to the frames port",
        (
            f"{_NODE}.clients_max",
            f"{_WIRE}.connections_max",
            "dynamo.wire.link:REFUSED_MAX",
        ),
        "the next is told `too many connections` and closed; beyond some of these, just reset",
        "dynamo_clients",
        f"{_LINK_TEST}::test_one_connection_too_many_is_told_so",
    ),
    Bound(
        "an unfinished frame",
        (
            f"{_LIMITS}.frame_bytes_max",
            f"{_WIRE}.frame_bytes_max",
            "dynamo.wire.frames:FRAME_BYTES_MAX",
        ),
        "a longer one ends the link with the reason; what is larger is not sent: ValueTooLarge",
        "",
        f"{_FRAMES_TEST}::test_the_malformed_is_refused_with_a_sentence",
    ),
    Bound(
        "elements that a frame may claim",
        ("dynamo.wire.frames:ELEMENTS_MAX",),
        "the frame is refused and the link ends",
        "",
        f"{_FRAMES_TEST}::test_nested_claims_of_huge_arrays_cost_little",
    ),
    Bound(
        "an introduction",
        (
            "dynamo.wire.handshake:HELLO_BYTES_MAX",
            "dynamo.wire.handshake:TEXT_MAX",
            "dynamo.wire.handshake:REASON_MAX",
        ),
        "a longer one is refused; a reason is cut to its size",
        "",
        "unit/dynamo/wire/test_handshake.py::test_a_refusal_carries_its_reason_cut_to_size",
    ),
    Bound(
        "gRPC calls",
        (
            f"{_GRPC}.calls_max",
            f"{_GRPC}.other_calls_max",
            f"{_GRPC}.calls_per_connection_max",
        ),
        "refused at once: RESOURCE_EXHAUSTED; beyond those of one connection they wait there",
        "",
        f"{_GRPC_TEST}::test_calls_over_the_bound_are_refused_at_once",
    ),
    Bound(
        "gRPC messages",
        (f"{_GRPC}.message_bytes_max",),
        "refused: RESOURCE_EXHAUSTED",
        "",
        f"{_GRPC_TEST}::test_the_largest_record_passes_and_more_is_refused",
    ),
    Bound(
        "gRPC connections",
        (f"{_GRPC}.connections_max",),
        "the next is closed",
        "",
        "unit/dynamo_node/test_grpc_connections.py::test_one_connection_too_many_is_closed",
    ),
    Bound(
        "HTTP connections and requests for metrics",
        ("dynamo_node.metrics_http:CONNECTIONS_MAX", "dynamo_node.metrics_http:HEAD_BYTES_MAX"),
        "the oldest connection gives way; a longer head is answered 431",
        "",
        f"{_METRICS_TEST}::test_at_the_bound_the_oldest_connection_gives_way",
    ),
    Bound(
        "a line that a node writes to `up`",
        ("dynamo_node.node_process:LINE_BYTES_MAX",),
        "it is cut into several",
        "",
        "unit/dynamo_node/test_supervisor.py::test_all_serve_speak_and_stop",
    ),
)
"""At the edges of a node."""

LOGS: tuple[Bound, ...] = (
    Bound(
        "lines of one event in a node's log, in ten seconds",
        ("dynamo_node.logs:SAME_MAX",),
        "more are left out; the next line of that event says how many",
        "",
        "unit/dynamo_node/test_node_cli.py::"
        "test_an_event_that_repeats_itself_is_logged_so_often_and_then_counted",
    ),
    Bound(
        "events whose lines are counted",
        ("dynamo_node.logs:KINDS_MAX",),
        "all counts begin anew",
        "",
        "unit/dynamo_node/test_node_cli.py::test_no_more_kinds_of_events_are_counted_than_that",
    ),
)
