"""Hostile peers at the session door (T1, T2, T4, T5, T7, T9, T10, T15, T18; R2, R3, R5, R7, R11, R17, R18)."""

from __future__ import annotations

import random
import time

import pytest
import zmq

from protocol import WIRE_VERSION, codec, limits, sockets
from protocol.identity import generate
from protocol.messages import (
    BlobPart,
    BlobRequest,
    EventRaised,
    Facts,
    Heartbeat,
    Hello,
    JobProgress,
    JobUpdate,
    Report,
    Welcome,
)
from protocol.results import JobState, StepEnded, StepResult
from tests.functional.master_process import MasterProcess, wait_for
from tests.functional.wire_peer import WirePeer

HELLO = Hello(WIRE_VERSION, "0-test", "boot", "machine", 0)


def dropped(master: MasterProcess) -> dict[str, int]:
    found: dict[str, int] = master.call("status")["dropped"]
    return found


def ping(master: MasterProcess, peer: WirePeer, patience: float = 10.0) -> str:
    """One job on an honest peer, from its start to its end."""
    job: str = master.call("jobs.start", target=peer.minion, function="test.ping", timeout=30.0)["job"]
    peer.until(lambda: peer.orders and peer.orders[-1][0].job == job, "the command", patience)
    peer.until(lambda: master.call("jobs.show", job=job)["ended"], "the end of the job", patience)
    return str(master.call("jobs.show", job=job)["minions"][peer.minion]["state"])


def test_an_unknown_key_reaches_nothing(master: MasterProcess, honest: WirePeer) -> None:
    with master.peer("honest") as stranger:
        stranger.connect()
        stranger.send(Facts({"os": "evil"}))
        assert not stranger.socket.poll(700)
    assert dropped(master) == {"strangers": 0, "bad": 0, "stray": 0}
    assert ping(master, honest) == "succeeded"


@pytest.mark.parametrize("state", ["pending", "rejected", "deleted"])
def test_a_key_that_is_not_accepted_reaches_nothing(master: MasterProcess, state: str) -> None:
    with master.peer("osd1") as peer:
        answer = peer.enrol(master.door)
        assert answer is not None
        if state == "rejected":
            master.call("keys.reject", ids=["osd1"])
        elif state == "deleted":
            master.call("keys.accept", ids=["osd1"])
            master.call("keys.delete", ids=["osd1"])
        peer.connect()
        assert not peer.socket.poll(700)
    assert not master.events("minion/*")


def test_deleting_a_key_cuts_its_session_within_a_second(master: MasterProcess, hostile: WirePeer) -> None:
    begun = time.monotonic()
    master.call("keys.delete", ids=["hostile"])
    wait_for(lambda: master.call("status")["minions"]["connected"] == 0, "the session to be cut", 1.0)
    assert time.monotonic() - begun < 1.0
    hostile.heard.clear()
    hostile.send(HELLO)
    hostile.report(EventRaised("still/here", {}, 1.0))
    hostile.send(Heartbeat(99, ()))
    assert not hostile.socket.poll(500)
    assert not master.events("minion/hostile/still/*")
    assert dropped(master)["strangers"] == 3


def test_a_deleted_key_ends_its_jobs_and_the_next_one_inherits_nothing(
    master: MasterProcess, hostile: WirePeer
) -> None:
    hostile.obey = lambda job, order: None  # type: ignore[method-assign]
    job = master.call("jobs.start", target="hostile", function="test.echo", args=["for the old one"])["job"]
    hostile.until(lambda: hostile.orders, "the command")
    master.call("keys.delete", ids=["hostile"])
    assert master.wait_job(job)["states"] == {"lost": 1}
    with master.admit(master.peer("hostile")) as heir:
        heir.connect()
        heir.until(lambda: heir.heard, "the Welcome")
        # the old connection still stands, and its words are nobody's
        hostile.ended(job, JobState.SUCCEEDED)
        hostile.report(EventRaised("still/here", {}, 1.0))
        hostile.send(Facts({"os": "old"}))
        heir.work(0.5)
        assert [type(message) for message in heir.heard] == [Welcome]
        assert heir.orders == []
        assert master.call("minions.show", id="hostile")["grains"] == {}
        assert not master.events("minion/hostile/still/*")
    assert master.call("jobs.show", job=job)["states"] == {"lost": 1}


def test_a_report_about_a_job_of_another_changes_nothing(
    master: MasterProcess, honest: WirePeer, hostile: WirePeer
) -> None:
    honest.obey = lambda job, order: None  # type: ignore[method-assign]
    job = master.call("jobs.start", target="honest", function="test.ping")["job"]
    honest.until(lambda: honest.orders, "the command")
    before = master.tags()
    step = StepResult("t", "file.managed", "a", "a", "s", True, "forged")
    hostile.report(
        JobUpdate(job, JobState.FAILED, 1.0, "forged"),
        JobProgress(job, StepEnded(0, step)),
        JobUpdate("no-such-job", JobState.FAILED, 1.0),
        JobUpdate("../../etc/passwd", JobState.FAILED, 1.0),
    )
    hostile.until(lambda: hostile.acknowledged, "the acknowledgement")
    assert master.tags() == before
    assert master.call("jobs.show", job=job)["states"] == {"pending": 1}
    assert dropped(master)["bad"] == 2
    honest.ended(job, JobState.SUCCEEDED, True)
    assert master_end(master, honest, job) == {"succeeded": 1}


def master_end(master: MasterProcess, peer: WirePeer, job: str) -> dict[str, int]:
    peer.until(lambda: master.call("jobs.show", job=job)["ended"], "the end of the job")
    found: dict[str, int] = master.call("jobs.show", job=job)["states"]
    return found


def test_states_that_only_the_master_gives_are_not_taken(master: MasterProcess, hostile: WirePeer) -> None:
    hostile.obey = lambda job, order: None  # type: ignore[method-assign]
    job = master.call("jobs.start", target="hostile", function="test.ping")["job"]
    hostile.until(lambda: hostile.orders, "the command")
    hostile.ended(job, JobState.LOST)
    hostile.ended(job, JobState.PENDING)
    hostile.until(lambda: hostile.acknowledged == 2, "the acknowledgements")
    assert master.call("jobs.show", job=job)["states"] == {"pending": 1}


@pytest.mark.parametrize(
    "tag",
    [
        "../../../job/1/ended", "a//b", "/job/1/ended", "", "a\0b", "a b", "a\nb", "a/" * 20 + "a", "x" * 600,
        "job/../../key/honest/accepted", "ü", "a/\u202eb",
    ],
)  # fmt: skip
def test_events_cannot_leave_the_name_of_their_minion(master: MasterProcess, hostile: WirePeer, tag: str) -> None:
    hostile.report(EventRaised(tag, {"forged": True}, 1.0))
    hostile.until(lambda: hostile.acknowledged, "the acknowledgement")
    forged = [event.tag for event in master.events() if event.data.get("forged")]
    assert forged == []
    assert dropped(master)["bad"] == 1


def test_events_that_look_like_the_masters_stay_under_their_minion(master: MasterProcess, hostile: WirePeer) -> None:
    for tag in ("job/1/ended", "key/honest/accepted", "minion/honest/lost", "run/1/ended"):
        hostile.report(EventRaised(tag, {"forged": True}, 1.0))
    hostile.until(lambda: hostile.acknowledged == 4, "the acknowledgements")
    forged = [event.tag for event in master.events() if event.data.get("forged")]
    assert len(forged) == 4
    assert all(tag.startswith("minion/hostile/") for tag in forged)


def test_a_content_of_another_minion_is_refused(master: MasterProcess, honest: WirePeer, hostile: WirePeer) -> None:
    (master.states / "secret").write_text("for the honest one only" * 5)
    (master.states / "a.sls").write_text("/a:\n  file.managed:\n    - source: salt://secret\n")
    honest.obey = lambda job, order: None  # type: ignore[method-assign]
    job = master.call("jobs.start", target="honest", kind="apply", sls=["a"])["job"]
    honest.until(lambda: honest.orders, "the command")
    assignment = honest.fetched(honest.orders[0][1])  # type: ignore[arg-type]
    (ref,) = assignment.blobs()
    assert hostile.ask(BlobRequest(ref.digest, 0, 100)) == BlobPart(ref.digest, 0, -1, b"")
    assert honest.fetch(ref.digest) == b"for the honest one only" * 5
    honest.ended(job, JobState.SUCCEEDED)
    assert master_end(master, honest, job) == {"succeeded": 1}
    # with its job a content goes out of reach for its own minion too
    assert honest.ask(BlobRequest(ref.digest, 0, 100)).size == -1


@pytest.mark.parametrize(
    "digest", ["../../identity", "/etc/passwd", "", "A" * 64, "0" * 64, "0" * 63 + "\n", "identity", "x" * 100_000]
)
def test_a_name_that_is_no_digest_opens_nothing(master: MasterProcess, hostile: WirePeer, digest: str) -> None:
    part = hostile.ask(BlobRequest(digest, 0, 100))
    assert (part.size, part.content) == (-1, b"")
    assert len(part.digest) <= 64


def test_a_malformed_storm_leaves_honest_minions_served(
    master: MasterProcess, honest: WirePeer, hostile: WirePeer
) -> None:
    rng = random.Random(4711)
    good = codec.encode(Report(1, (JobUpdate("x", JobState.FAILED, 1.0),)))
    assert ping(master, honest) == "succeeded"
    for number in range(20_000):
        raw = bytearray(good)
        kind = number % 4
        if kind == 0:
            raw = bytearray(rng.randbytes(rng.randrange(0, 200)))
        elif kind == 1:
            raw[rng.randrange(len(raw))] = rng.randrange(256)
        elif kind == 2:
            raw = raw[: rng.randrange(len(raw))]
        else:
            raw = bytearray(b"\xdd\xff\xff\xff\xff" if number % 8 == 3 else b"\x91" * 5000)
        if not hostile.socket.poll(0, zmq.POLLOUT):
            break
        hostile.socket.send(bytes(raw), zmq.DONTWAIT)
    begun = time.monotonic()
    assert ping(master, honest) == "succeeded"
    assert time.monotonic() - begun < 3.0
    assert master.events("minion/hostile/cut")
    assert dropped(master)["bad"] >= 20
    assert [minion["id"] for minion in master.call("minions.list")["minions"] if minion["connected"]] == ["honest"]


def test_one_that_was_cut_off_does_not_get_in_again_at_once(master: MasterProcess, hostile: WirePeer) -> None:
    for _ in range(30):
        hostile.socket.send(b"garbage")
    wait_for(lambda: master.events("minion/hostile/cut"), "the cut")
    hostile.leave()
    hostile.heard.clear()
    hostile.connect()
    hostile.work(1.0)
    assert hostile.heard == []


def test_a_frame_that_is_too_large_ends_its_connection_only(
    master: MasterProcess, honest: WirePeer, hostile: WirePeer
) -> None:
    hostile.socket.send(bytes(limits.MAX_MESSAGE + 1))
    assert ping(master, honest) == "succeeded"
    hostile.leave()
    hostile.heard.clear()
    hostile.join()
    assert ping(master, hostile) == "succeeded"


def test_a_message_of_many_frames_is_bad(master: MasterProcess, honest: WirePeer, hostile: WirePeer) -> None:
    hostile.socket.send_multipart([codec.encode(Heartbeat(1, ()))] * 1000)
    wait_for(lambda: dropped(master)["bad"] == 1, "the message to be counted")
    assert ping(master, honest) == "succeeded"


@pytest.mark.parametrize("wire", [WIRE_VERSION - 1, WIRE_VERSION + 1, -1, 2**40])
def test_another_wire_version_is_refused_and_told(master: MasterProcess, wire: int) -> None:
    with master.admit(master.peer("old")) as peer:
        peer.connect()
        peer.leave()
        peer.socket = sockets.connecting(
            peer.context, peer.identity, master.key.curve, f"tcp://127.0.0.1:{master.port}"
        )
        wait_for(lambda: not master.call("minions.list")["minions"][0]["connected"], "the first session to end")
        peer.heard.clear()
        peer.send(Hello(wire, "0", "b", "m", 0))
        assert not peer.socket.poll(500)
        assert "wire version" in str(master.wait_event("minion/old/refused").data["reason"])


def test_nothing_is_heard_before_a_greeting(master: MasterProcess) -> None:
    with master.admit(master.peer("early")) as peer:
        address = f"tcp://127.0.0.1:{master.port}"
        peer.socket = sockets.connecting(peer.context, peer.identity, master.key.curve, address)
        peer.report(EventRaised("too/early", {}, 1.0))
        peer.send(Facts({"os": "x"}))
        peer.send(Heartbeat(1, ()))
        wait_for(lambda: dropped(master)["stray"] == 3, "the messages to be counted")
        assert not peer.socket.poll(200)
    assert not master.events("minion/early/*")


def test_a_routing_id_of_ones_own_choice_is_not_taken(master: MasterProcess) -> None:
    with master.admit(master.peer("osd1")) as peer:
        chosen = peer.context.socket(zmq.DEALER)
        chosen.setsockopt(zmq.LINGER, 0)
        chosen.setsockopt(zmq.ROUTING_ID, b"honest")
        chosen.setsockopt(zmq.CURVE_SERVERKEY, master.key.curve.encode())
        chosen.setsockopt(zmq.CURVE_PUBLICKEY, peer.identity.curve_public.encode())
        chosen.setsockopt(zmq.CURVE_SECRETKEY, peer.identity.curve_secret)
        chosen.connect(f"tcp://127.0.0.1:{master.port}")
        chosen.send(codec.encode(HELLO))
        wait_for(lambda: dropped(master)["bad"] == 1, "the greeting to be refused")
        chosen.close()


def test_a_flood_of_events_does_not_fill_the_disk(master: MasterProcess, hostile: WirePeer) -> None:
    for _ in range(100):
        hostile.report(*(EventRaised("flood", {}, 1.0) for _ in range(100)))
    hostile.until(lambda: hostile.acknowledged == 100, "the acknowledgements")
    assert len(master.events("minion/hostile/flood")) <= 3000


def test_a_minion_that_does_not_read_costs_the_others_nothing(
    master: MasterProcess, honest: WirePeer, hostile: WirePeer
) -> None:
    (master.states / "big").write_bytes(random.Random(1).randbytes(8_000_000))
    (master.states / "a.sls").write_text("/a:\n  file.managed:\n    - source: salt://big\n")
    master.call("jobs.start", target="hostile", kind="apply", sls=["a"])
    hostile.obey = lambda job, order: None  # type: ignore[method-assign]
    hostile.until(lambda: hostile.orders, "the command")
    (ref,) = hostile.fetched(hostile.orders[0][1]).blobs()  # type: ignore[arg-type]
    for _ in range(8):
        hostile.send(BlobRequest(ref.digest, 0, limits.BLOB_CHUNK))
    begun = time.monotonic()
    assert ping(master, honest) == "succeeded"
    assert time.monotonic() - begun < 3.0


def test_sealed_commands_show_nothing_to_a_stranger_with_the_masters_key(master: MasterProcess) -> None:
    stranger = generate()
    with master.peer("x", stranger) as peer:
        for port in (master.door, master.port):
            with sockets.connecting(peer.context, stranger, master.key.curve, f"tcp://127.0.0.1:{port}") as socket:
                socket.send(codec.encode(HELLO))
                assert not socket.poll(300)
