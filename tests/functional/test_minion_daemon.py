"""The real minion daemon against a real CURVE socket: joins, obeys what is signed for it, and loses nothing."""

from __future__ import annotations

import dataclasses
import hashlib
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from protocol import command
from protocol.assignment import Assignment, BlobRef, Chunk
from protocol.command import Apply, Call, Cancel
from protocol.identity import generate
from protocol.messages import BlobRequest, EventRaised, Facts, Heartbeat, Hello
from protocol.names import new_job_id
from protocol.results import JobState
from protocol.token import JoinToken
from tests.demo.site import free_ports
from tests.functional.wire_master import PATIENCE, RealMinion, WireMaster

EXPIRED = new_job_id(4.0)


@pytest.fixture
def master() -> Iterator[WireMaster]:
    with WireMaster() as it:
        yield it


@pytest.fixture
def minion(master: WireMaster, tmp_path: Path) -> Iterator[RealMinion]:
    it = RealMinion(tmp_path / "minion", "osd1")
    token = JoinToken(
        (f"127.0.0.1:{master.door_port}",), master.identity.public.signing, master.identity.public.curve, "secret"
    )
    joining = it.command("join", token.text())
    master.serve_until(lambda: joining.poll() is not None, "join to end")
    assert joining.returncode == 0, it.log()
    it.start()
    master.connected()
    yield it
    it.kill()


def apply(chunks: tuple[Chunk, ...], **options: bool) -> Apply:
    raw = Assignment("osd1", chunks).encoded()
    return Apply(hashlib.sha256(raw).hexdigest(), raw, options.get("test", False), False, 30.0)


def touch(path: str) -> Chunk:
    return Chunk("file", "managed", path, path, "s", {"contents": "x\n", "makedirs": True})


def slow(root: Path, mark: str, seconds: float = 30.0) -> Call:
    return Call("cmd.run", (f"echo $$ > {root}/{mark}; sleep {seconds}",), {}, 60.0)


def test_join_proves_its_keys_and_pins_the_master(master: WireMaster, minion: RealMinion) -> None:
    assert master.enrolled.minion == "osd1"
    assert master.enrolled.token == "secret"
    assert (minion.state / "identity").stat().st_mode & 0o777 == 0o600
    assert (minion.state / "enrolment.json").stat().st_mode & 0o777 == 0o600
    facts = next(m for m in master.heard if isinstance(m, Facts))
    assert facts.grains["id"] == "osd1"


def test_a_quick_function_answers_without_a_process(master: WireMaster, minion: RealMinion) -> None:
    master.order("osd1", job := new_job_id(1.0), Call("test.ping", (), {}, 5.0))
    ended = master.finish(job)
    assert (ended.state, ended.value) == (JobState.SUCCEEDED, True)
    assert not (minion.state / "jobs" / job).exists()


def test_an_apply_streams_its_steps_and_is_forgotten_once_acknowledged(master: WireMaster, minion: RealMinion) -> None:
    master.order("osd1", job := new_job_id(1.0), apply((touch("/etc/a"), touch("/etc/b"))))
    assert master.finish(job).state is JobState.SUCCEEDED
    assert [step.id for step in master.steps(job)] == ["/etc/a", "/etc/b"]
    assert (minion.root / "etc/b").read_text() == "x\n"
    master.serve_until(lambda: not (minion.state / "jobs" / job).exists(), "the job to be forgotten")


def test_a_state_raises_the_event_that_it_was_asked_for(master: WireMaster, minion: RealMinion) -> None:
    chunk = dataclasses.replace(touch("/etc/a"), options={"fire_event": "a/made", "parallel": True})
    master.order("osd1", job := new_job_id(1.0), apply((chunk,)))
    assert master.finish(job).state is JobState.SUCCEEDED
    events = [record for record in master.records() if isinstance(record, EventRaised)]
    assert [(event.tag, event.data["result"]) for event in events] == [(f"state_result/{job}/a/made", True)]


def test_a_dry_run_touches_nothing(master: WireMaster, minion: RealMinion) -> None:
    master.order("osd1", job := new_job_id(1.0), apply((touch("/etc/a"),), test=True))
    assert master.finish(job).state is JobState.SUCCEEDED
    assert [step.result for step in master.steps(job)] == [None]
    assert not (minion.root / "etc").exists()


def test_large_content_is_fetched_in_parts_and_checked(master: WireMaster, minion: RealMinion) -> None:
    content = os.urandom(3_000_000)
    ref = BlobRef(hashlib.sha256(content).hexdigest(), len(content))
    master.blobs[ref.digest] = content
    chunk = Chunk("file", "managed", "a", "/a", "s", {"source": "salt://a"}, sources={"salt://a": ref})
    raw = Assignment("osd1", (chunk,)).encoded()
    digest = hashlib.sha256(raw).hexdigest()
    master.blobs[digest] = raw
    master.order("osd1", job := new_job_id(1.0), Apply(digest, None, False, False, 30.0))
    assert master.finish(job).state is JobState.SUCCEEDED, master.steps(job)
    assert (minion.root / "a").read_bytes() == content
    assert len([m for m in master.heard if isinstance(m, BlobRequest) and m.digest == ref.digest]) == 3


def test_content_that_is_not_to_be_had_fails_the_job(master: WireMaster, minion: RealMinion) -> None:
    master.order("osd1", job := new_job_id(1.0), Apply("0" * 64, None, False, False, 30.0))
    ended = master.finish(job)
    assert ended.state is JobState.FAILED
    assert "content" in ended.reason


def test_what_is_not_signed_for_it_has_no_effect(master: WireMaster, minion: RealMinion) -> None:
    order = Call("cmd.run", (f"touch {minion.root}/forged",), {}, 5.0)
    now = time.time()
    forged = command.seal(generate(), new_job_id(2.0), 50, {"osd1": order}, now, 60.0)["osd1"]
    others = command.seal(master.identity, new_job_id(3.0), 51, {"osd2": order}, now, 60.0)["osd2"]
    expired = command.seal(master.identity, EXPIRED, 52, {"osd1": order}, now - 900, 60.0)["osd1"]
    good = command.seal(master.identity, new_job_id(5.0), 53, {"osd1": order}, now, 60.0)["osd1"]
    tampered = dataclasses.replace(good, payload=good.payload.replace(b"forged", b"f0rged"))
    for sealed in (forged, others, expired, tampered):
        master.send(sealed)
    master.serve_until(lambda: master.ends(EXPIRED), "word of the expired command")
    assert master.ends(EXPIRED)[0].state is JobState.REFUSED
    assert "check clocks" in master.ends(EXPIRED)[0].reason
    master.order("osd1", job := new_job_id(6.0), Call("test.ping", (), {}, 5.0))
    master.finish(job)
    assert list(minion.root.iterdir()) == []
    assert minion.log().count("was refused") == 4


def test_a_command_again_runs_nothing_twice(master: WireMaster, minion: RealMinion) -> None:
    order = Call("cmd.run", (f"echo x >> {minion.root}/count",), {}, 5.0)
    sealed = master.order("osd1", job := new_job_id(1.0), order)
    master.finish(job)
    master.serve_until(lambda: not (minion.state / "jobs" / job).exists(), "the job to be forgotten")
    master.send(sealed)
    master.serve_until(lambda: len(master.ends(job)) > 1, "an answer to the replay")
    assert master.ends(job)[-1].state is JobState.REFUSED
    minion.kill()
    minion.start()
    master.connected()
    master.send(sealed)
    master.serve_until(lambda: len(master.ends(job)) > 2, "an answer to the replay after a restart")
    assert (minion.root / "count").read_text() == "x\n"


def test_results_wait_for_the_acknowledgement(master: WireMaster, minion: RealMinion) -> None:
    master.ack = False
    master.order("osd1", job := new_job_id(1.0), apply((touch("/etc/a"),)))
    master.finish(job)
    minion.kill()
    master.heard.clear()
    minion.start()
    master.connected()
    assert master.finish(job).state is JobState.SUCCEEDED
    assert [step.id for step in master.steps(job)] == ["/etc/a"]
    master.ack = True


def test_it_comes_back_to_a_master_that_was_away(master: WireMaster, minion: RealMinion) -> None:
    ports = master.door_port, master.port
    master.close()
    time_up = time.monotonic() + PATIENCE
    while "trying again" not in minion.log():
        assert time.monotonic() < time_up
        assert minion.process is not None
        assert minion.process.poll() is None
        os.sched_yield()
    master.open(ports)
    before = len(master.heard)
    master.serve_until(lambda: any(isinstance(m, Hello) for m in master.heard[before:]), "a new session", 60.0)


def test_a_cancel_kills_the_whole_process_group(master: WireMaster, minion: RealMinion) -> None:
    master.order("osd1", job := new_job_id(1.0), slow(minion.root, "pid"))
    mark = minion.root / "pid"
    master.serve_until(lambda: mark.exists() and mark.read_text().strip(), "the command to run")
    pid = int(mark.read_text())
    master.order("osd1", new_job_id(2.0), Cancel(job))
    assert master.finish(job).state is JobState.CANCELLED
    master.serve_until(lambda: not Path(f"/proc/{pid}").exists(), "the command to be gone")


def test_a_command_that_ignores_sigterm_is_killed_too(master: WireMaster, minion: RealMinion) -> None:
    script = f"trap '' TERM; echo $$ > {minion.root}/pid; while :; do sleep 1; done"
    master.order("osd1", job := new_job_id(1.0), Call("cmd.run", (script,), {}, 60.0))
    mark = minion.root / "pid"
    master.serve_until(lambda: mark.exists() and mark.read_text().strip(), "the command to run")
    pid = int(mark.read_text())
    master.order("osd1", new_job_id(2.0), Cancel(job))
    assert master.finish(job).state is JobState.CANCELLED
    master.serve_until(lambda: not Path(f"/proc/{pid}/exe").exists(), "the command to be gone")


def test_a_deadline_ends_a_job(master: WireMaster, minion: RealMinion) -> None:
    order = dataclasses.replace(slow(minion.root, "pid"), timeout=0.5)
    master.order("osd1", job := new_job_id(1.0), order)
    ended = master.finish(job)
    assert ended.state in (JobState.TIMED_OUT, JobState.FAILED)
    assert "deadline" in ended.reason or "0.5" in ended.reason or "took longer" in ended.reason


def test_a_call_that_was_cut_off_by_a_crash_is_told_not_repeated(master: WireMaster, minion: RealMinion) -> None:
    master.order("osd1", job := new_job_id(1.0), slow(minion.root, "pid"))
    mark = minion.root / "pid"
    master.serve_until(lambda: mark.exists() and mark.read_text().strip(), "the command to run")
    runner = int((minion.state / "jobs" / job / "lock").read_text().split()[0])
    minion.kill()
    os.killpg(runner, signal.SIGKILL)
    minion.start()
    ended = master.finish(job)
    assert (ended.state, "interrupted" in ended.reason) == (JobState.FAILED, True)


def test_it_stops_cleanly_and_beats_while_it_lives(master: WireMaster, minion: RealMinion) -> None:
    master.serve_until(lambda: [m for m in master.heard if isinstance(m, Heartbeat)], "a heartbeat")
    assert minion.stop() == 0


def test_an_unreachable_master_is_told(tmp_path: Path) -> None:
    minion = RealMinion(tmp_path / "minion", "osd1")
    key = generate().public.text()
    (port,) = free_ports(1)
    joining = minion.command("join", "--master", f"127.0.0.1:{port}", "--master-key", key)
    assert joining.wait(30) == 1
    assert "no answer within" in minion.log()
    assert "stackmaster serve" in minion.log()
    for arguments in (["join", "sm1-broken"], ["serve"], ["join"]):
        done = subprocess.Popen.wait(minion.command(*arguments), 30)
        assert done == 2, minion.log()
