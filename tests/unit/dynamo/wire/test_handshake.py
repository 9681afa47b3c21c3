"""The handshake: hellos arrive whole, versions are agreed, strangers are told where they are."""

import msgpack
import pytest

from dynamo.errors import IncompatiblePeer, ProtocolViolation, WrongCluster
from dynamo.wire.handshake import (
    HELLO_BYTES_MAX,
    PROTOCOL_MAX,
    REASON_MAX,
    Hello,
    HelloDecoder,
    Refusal,
    agree,
    encode_hello,
    encode_refusal,
)

NODE = Hello("node", "n1", b"\x01\x02", incarnation="a7", boot=3, durability="fsync")
CLIENT = Hello("client", "cart", b"")


@pytest.mark.parametrize("hello", [NODE, CLIENT, NODE._replace(boot_remembered=9)])
def test_a_hello_arrives_in_any_pieces(hello: Hello) -> None:
    data = encode_hello(hello) + b"frames"
    for cut in range(len(data)):
        decoder = HelloDecoder()
        got = decoder.feed(data[:cut]) or decoder.feed(data[cut:])
        assert got == hello
        assert b"frames".startswith(decoder.rest)


def test_a_refusal_carries_its_reason_cut_to_size() -> None:
    assert HelloDecoder().feed(encode_refusal("full")) == Refusal("full")
    assert HelloDecoder().feed(encode_refusal("ü€😀" * 1000)) == Refusal(
        ("ü€😀" * 1000)[:REASON_MAX]
    )


def test_the_highest_common_version_is_agreed() -> None:
    mine = NODE._replace(version_min=1, version_max=3)
    assert agree(mine, CLIENT._replace(version_min=2, version_max=5)) == 3
    assert agree(mine, CLIENT._replace(version_min=1, version_max=2)) == 2
    with pytest.raises(IncompatiblePeer, match="client 'cart' speaks protocol 4-5, we speak 1-3"):
        agree(mine, CLIENT._replace(version_min=4, version_max=5))


def test_another_cluster_is_told_apart_and_a_client_may_not_care() -> None:
    assert agree(NODE, CLIENT) == PROTOCOL_MAX
    assert agree(NODE, CLIENT._replace(cluster=NODE.cluster)) == PROTOCOL_MAX
    with pytest.raises(WrongCluster, match="node 'n2' is of cluster 09, we are of 0102"):
        agree(NODE, NODE._replace(name="n2", cluster=b"\x09"))
    with pytest.raises(ProtocolViolation, match="two clients"):
        agree(CLIENT, CLIENT)


@pytest.mark.parametrize(
    ("first", "words"),
    [
        (b"GET /metrics HTTP/1.1\r\n", "not HTTP; metrics are on port[+]200, gRPC on port[+]100"),
        (b"PRI * HTTP/2.0\r\n", "gRPC is on port[+]100"),
        (b"HTTP/1.1 400 Bad Request\r\n", "that port speaks HTTP, .* port-200"),
        (b"\x00\x00\x18\x04\x00\x00\x00\x00\x00", "that port speaks HTTP/2, .* port-100"),
        (b"\x16\x03\x01\x02\x00", "not TLS"),
        (b"hello there", "began with b'hello th'"),
        (b"DYNX", "began with"),
        (b"DYNM\xff\xff", f"over {HELLO_BYTES_MAX}"),
        (b"DYNM\x00\x01\xc1", "not msgpack"),
        (b"DYNM\x00\x01\x90", "not a map"),
        (b"DYNM\x00\x01\x80", "cluster|name|role"),
    ],
)
def test_strangers_are_told_where_they_are(first: bytes, words: str) -> None:
    with pytest.raises(ProtocolViolation, match=words):
        HelloDecoder().feed(first)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("role", "king"),
        ("role", []),
        ("name", b"n1"),
        ("name", "n" * 5000),
        ("name", ""),
        ("cluster", "text"),
        ("cluster", b""),
        ("version_min", -1),
        ("version_min", PROTOCOL_MAX + 1),
        ("version_max", True),
        ("boot", 1 << 63),
        ("boot_remembered", "3"),
        ("durability", "maybe"),
        ("durability", ""),
        ("incarnation", None),
    ],
)
def test_each_field_of_a_nodes_hello_is_judged(field: str, value: object) -> None:
    body = msgpack.packb({**NODE._asdict(), field: value})
    with pytest.raises(ProtocolViolation, match="hello"):
        HelloDecoder().feed(b"DYNM" + len(body).to_bytes(2, "big") + body)


def test_unknown_fields_are_ignored() -> None:
    body = msgpack.packb({**NODE._asdict(), "since version 2": 1})
    assert HelloDecoder().feed(b"DYNM" + len(body).to_bytes(2, "big") + body) == NODE
