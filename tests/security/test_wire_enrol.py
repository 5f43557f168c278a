"""Hostile strangers at the enrolment door (T7, T8, T13, T14, T18 for port 4505; R1, R13, R17, R18, R21)."""

from __future__ import annotations

import dataclasses
import socket
import time
from collections.abc import Iterator

import pytest
import zmq

from protocol import codec, limits, sockets
from protocol.identity import generate
from protocol.messages import Enrol, Heartbeat, Hello
from tests.functional.master_process import MasterProcess, wait_for
from tests.functional.wire_peer import WirePeer, enrol_request, knock


@pytest.fixture
def context() -> Iterator[zmq.Context[zmq.Socket[bytes]]]:
    made = sockets.context()
    yield made
    made.destroy(linger=0)


Context = zmq.Context[zmq.Socket[bytes]]


def keys(master: MasterProcess) -> list[tuple[str, str]]:
    return [(key["id"], key["state"]) for key in master.call("keys.list")["keys"]]


def test_an_enrolment_replayed_over_another_connection_is_refused(master: MasterProcess, context: Context) -> None:
    victim, thief = generate(), generate()
    recorded = codec.encode(enrol_request(victim, "osd1", master.token()))
    answer = knock(context, thief, master.key, master.door, recorded)
    assert answer is not None
    assert answer.state == "refused"
    assert keys(master) == []
    # the token was not spent by the thief
    answer = knock(context, victim, master.key, master.door, recorded)
    assert answer is not None
    assert answer.state == "accepted"


def test_forged_enrolments_change_nothing(master: MasterProcess, context: Context) -> None:
    one, other = generate(), generate()
    request = enrol_request(one, "osd1", master.token())
    forged = [
        dataclasses.replace(request, wire=0),
        dataclasses.replace(request, minion="osd2"),
        dataclasses.replace(request, minion="../../etc/cron.d/x"),
        dataclasses.replace(request, minion="a" * 300),
        dataclasses.replace(request, minion=""),
        dataclasses.replace(request, signing=other.public.signing),
        dataclasses.replace(request, curve=other.curve_public),
        dataclasses.replace(request, signature=other.sign(b"x")),
        dataclasses.replace(request, signature=b""),
    ]
    for bad in forged:
        answer = knock(context, one, master.key, master.door, codec.encode(bad))
        assert answer is not None, bad
        assert answer.state == "refused", bad
    assert keys(master) == []
    assert master.tags() == []


def test_a_token_is_good_for_as_many_as_it_says(master: MasterProcess) -> None:
    secret = master.token(uses=2)
    states = []
    for number in range(3):
        with master.peer(f"osd{number}") as peer:
            answer = peer.enrol(master.door, secret)
            assert answer is not None
            states.append(answer.state)
    assert states == ["accepted", "accepted", "refused"]


def test_an_expired_or_guessed_token_is_refused(master: MasterProcess) -> None:
    expired = master.token(ttl=1.0)
    end = time.monotonic() + 1.1
    wait_for(lambda: time.monotonic() > end, "the token to expire")
    with master.peer("osd1") as peer:
        for secret in (expired, "guessed", master.token()[:-1], "x" * 500):
            answer = peer.enrol(master.door, secret)
            assert answer is not None
            assert answer.state == "refused"
    assert keys(master) == []


def test_another_key_for_an_accepted_id_is_refused_and_shown(master: MasterProcess, honest: WirePeer) -> None:
    with master.peer("honest") as thief:
        answer = thief.enrol(master.door, master.token())
        assert answer is not None
        assert answer.state == "refused"
    assert keys(master) == [("honest", "accepted"), ("honest", "denied")]
    assert master.events("key/honest/denied")
    job = master.call("jobs.start", target="honest", function="test.ping")["job"]
    honest.until(lambda: honest.acknowledged, "the acknowledgement")
    assert master.call("jobs.show", job=job)["states"] == {"succeeded": 1}


def test_nothing_but_an_enrolment_is_understood(master: MasterProcess, context: Context) -> None:
    one = generate()
    request = codec.encode(enrol_request(one, "osd1"))
    others = [
        codec.encode(Hello(1, "0", "b", "m", 0)),
        codec.encode(Heartbeat(1, ())),
        b"",
        b"\xdd\xff\xff\xff\xff",
        b"\x91" * 4000,
        request[:-1],
        request + b"\0",
        codec.pack(["enrol"]),
        codec.pack(["__class__", 1]),
    ]
    for raw in others:
        assert knock(context, one, master.key, master.door, raw, patience=0.15) is None, raw[:20]
    assert keys(master) == []
    answer = knock(context, one, master.key, master.door, request)
    assert answer is not None
    assert answer.state == "pending"


def test_a_frame_that_is_too_large_ends_its_connection_only(master: MasterProcess, context: Context) -> None:
    one = generate()
    huge = codec.encode(dataclasses.replace(enrol_request(one, "osd1"), token="x" * limits.MAX_ENROL_MESSAGE))
    assert knock(context, one, master.key, master.door, huge, patience=0.3) is None
    answer = knock(context, one, master.key, master.door, codec.encode(enrol_request(one, "osd1")))
    assert answer is not None
    assert answer.state == "pending"


def test_a_multipart_message_is_dropped(master: MasterProcess, context: Context) -> None:
    one = generate()
    request = codec.encode(enrol_request(one, "osd1"))
    with sockets.connecting(context, one, master.key.curve, f"tcp://127.0.0.1:{master.door}") as door:
        door.send_multipart([request] * 100)
        assert not door.poll(300)
        door.send(request)
        assert door.poll(10_000)


def test_without_curve_nobody_is_heard(master: MasterProcess, context: Context) -> None:
    request = codec.encode(enrol_request(generate(), "osd1"))
    for port in (master.door, master.port):
        plain = context.socket(zmq.DEALER)
        plain.setsockopt(zmq.LINGER, 0)
        plain.connect(f"tcp://127.0.0.1:{port}")
        plain.send(request)
        assert not plain.poll(300)
        plain.close()
    assert keys(master) == []


def test_connections_that_never_speak_stop_nobody(master: MasterProcess, honest: WirePeer) -> None:
    silent = [socket.create_connection(("127.0.0.1", port)) for port in (master.door, master.port) for _ in range(100)]
    try:
        for number, each in enumerate(silent):
            each.sendall([b"", b"\xff", b"\xff\0\0\0\0\0\0\0\x01\x7f", b"GET / HTTP/1.1\r\n\r\n"][number % 4])
        master.call("jobs.start", target="honest", function="test.ping")
        honest.until(lambda: honest.acknowledged, "the acknowledgement", 3.0)
        with master.peer("osd1") as peer:
            assert peer.enrol(master.door, patience=5.0) is not None
    finally:
        for each in silent:
            each.close()


def test_a_flood_of_requests_from_one_address_is_slowed_and_bounded(tmp_path_factory: pytest.TempPathFactory) -> None:
    settings = {"enrol_rate": 2, "pending_keys": 5}
    with MasterProcess(tmp_path_factory.mktemp("flood"), settings) as master, master.peer("x") as peer:
        with sockets.connecting(
            peer.context, peer.identity, master.key.curve, f"tcp://127.0.0.1:{master.door}"
        ) as door:
            request = codec.encode(enrol_request(peer.identity, "osd1"))
            for _ in range(500):
                door.send(request)
            answers = 0
            while door.poll(500):
                door.recv()
                answers += 1
        assert 1 <= answers <= 25
        assert keys(master) == [("osd1", "pending")]


def test_how_many_strangers_may_wait_is_bounded(tmp_path_factory: pytest.TempPathFactory) -> None:
    with MasterProcess(tmp_path_factory.mktemp("many"), {"pending_keys": 3}) as master:
        states = []
        for number in range(5):
            with master.peer(f"osd{number}") as peer:
                answer = peer.enrol(master.door)
                assert answer is not None
                states.append(answer.state)
        assert states == ["pending"] * 3 + ["refused"] * 2


def test_a_client_that_pins_another_master_gets_no_answer(master: MasterProcess, context: Context) -> None:
    one = generate()
    request = codec.encode(enrol_request(one, "osd1"))
    assert knock(context, one, generate().public, master.door, request, patience=0.5) is None


def test_the_answer_to_an_enrolment_is_never_larger_than_the_bound(master: MasterProcess, context: Context) -> None:
    request: Enrol = enrol_request(generate(), "osd1", "x" * 3000)
    answer = knock(context, generate(), master.key, master.door, codec.encode(request))
    assert answer is not None
    assert len(codec.encode(answer)) < len(codec.encode(request))
