"""The real master against clients and minions that do their worst: it answers, goes on, and starts again."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from master.cli.client import MasterError
from protocol.data import Data
from protocol.messages import EventRaised, JobProgress
from protocol.results import Change, JobState, StepEnded, StepResult
from tests.functional.master_process import MasterProcess, wait_for
from tests.functional.wire_peer import WirePeer


@pytest.fixture
def master(tmp_path: Path) -> Iterator[MasterProcess]:
    with MasterProcess(tmp_path, {"heartbeat": 3.0}) as process:
        yield process


def nested(depth: int) -> Data:
    value: Data = 1
    for _ in range(depth):
        value = {"a": value}
    return value


def asked(master: MasterProcess, line: str) -> dict[str, Any]:
    """The answer to one line."""
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(10.0)
        client.connect(str(master.socket))
        client.sendall(line.encode("utf-8", "surrogatepass") + b"\n")
        with client.makefile("rb") as answers:
            answer: dict[str, Any] = json.loads(answers.readline())
    return answer


def test_arguments_that_cannot_be_kept_are_refused_and_leave_no_job(master: MasterProcess) -> None:
    with master.admit(master.peer("osd1")) as peer:
        peer.join()
        for call, args in [
            ("jobs.start", {"target": "osd1", "function": "test.echo", "args": [nested(40)]}),
            ("jobs.start", {"target": "osd1", "function": "test.echo", "args": [nested(900)]}),
            ("jobs.start", {"target": "osd1", "function": "test.echo", "args": [2**70]}),
            ("jobs.start", {"target": "osd1", "function": "test.echo", "args": ["\ud800"]}),
            ("jobs.start", {"target": "osd1", "function": "test.ping", "timeout": 10**400}),
            ("jobs.start", {"target": "osd1", "kind": "apply", "sls": ["a"], "pillar": nested(40)}),
            ("jobs.show", {"job": "\ud800aaaa"}),
            ("runs.start", {"sls": ["a"], "pillar": {"a": 2**70}}),
            ("events.tail", {"since": 2**70}),
            ("compile", {"grains": nested(900), "sls": ["a"]}),
        ]:
            answer = asked(master, json.dumps({"id": 1, "call": call, "args": args}))
            assert answer["error"]["code"] == "argument", (call, answer)
        assert asked(master, '{"id": "\\ud800", "call": "status"}')["error"]["code"] == "argument"
        assert master.call("jobs.list") == {"jobs": []}
        assert "Traceback" not in master.logged()
    master.stop()
    master.start()


def test_results_that_grow_when_they_are_stored_poison_nothing(master: MasterProcess) -> None:
    (master.states / "a.sls").write_text("/a:\n  file.managed:\n    - contents: x\n")
    with master.admit(master.peer("evil")) as evil:
        evil.join()
        evil.obey = lambda job, order: None  # type: ignore[method-assign]
        call = master.call("jobs.start", target="evil", function="test.ping")["job"]
        apply = master.call("jobs.start", target="evil", kind="apply", sls=["a"])["job"]
        evil.until(lambda: len(evil.orders) == 2, "both orders")
        evil.ended(call, JobState.SUCCEEDED, {"x": b"\xff" * 2_000_000}, "r" * 1_000_000)
        many = tuple(Change("change", f"/{number}") for number in range(90_000))
        step = StepResult("t", "file.managed", "/a", "/a", "a", True, "done", many)
        evil.report(JobProgress(apply, StepEnded(0, step)))
        last = evil.ended(apply, JobState.SUCCEEDED)
        evil.report(EventRaised("big", {"x": b"\xff" * 3_000_000}, time.time()))
        evil.until(lambda: evil.acknowledged >= last, "the acknowledgements", 60.0)
        assert set(master.wait_job(call)["states"]) == {"succeeded"}
        assert set(master.wait_job(apply)["states"]) == {"succeeded"}
        assert len(master.events("job/*")) >= 6
        assert len(master.call("jobs.show", job=call)["minions"]["evil"]["reason"]) < 5_000
    master.stop()
    master.start()
    assert len(master.call("jobs.list")["jobs"]) == 2


def until_ended(master: MasterProcess, peer: WirePeer, job: str) -> None:
    """Let a peer work until its job is stored as ended."""

    def ended() -> bool:
        peer.work(0.02)
        return bool(master.call("jobs.show", job=job)["ended"])

    wait_for(ended, f"the end of job {job}")


def flood(evil: WirePeer, most: int) -> None:
    """Large events as fast as they are taken, up to `most`."""
    data: dict[str, Data] = {"x": "y" * 1_000_000}
    for _ in range(most):
        evil.report(EventRaised("flood", data, time.time()))
        evil.work(0.0)


def test_a_minion_that_floods_with_events_fills_no_disk_and_costs_others_nothing(master: MasterProcess) -> None:
    with master.admit(master.peer("evil")) as evil, master.admit(master.peer("good")) as good:
        evil.join()
        flood(evil, 300)
        evil.until(lambda: evil.acknowledged >= 300, "the acknowledgements", 60.0)
        good.join()
        size = sum(file.stat().st_size for file in master.state_dir.glob("master.db*"))
        assert size < 30_000_000, f"{size} bytes of database"
        job = master.call("jobs.start", target="good", function="test.ping")["job"]
        good.until(lambda: good.orders, "the order")
        until_ended(master, good, job)


def test_the_results_of_one_job_are_cut_when_they_come_to_too_much(master: MasterProcess) -> None:
    (master.states / "a.sls").write_text("/a:\n  file.managed:\n    - contents: x\n")
    with master.admit(master.peer("evil")) as evil:
        evil.join()
        evil.obey = lambda job, order: None  # type: ignore[method-assign]
        job = master.call("jobs.start", target="evil", kind="apply", sls=["a"])["job"]
        evil.until(lambda: evil.orders, "the order")
        change = (Change("run", "cmd", details={"stdout": "x" * 1_000_000}),)
        for index in range(90):
            step = StepResult("t", "cmd.run", "i", "n", "a", True, "ran", change)
            evil.report(JobProgress(job, StepEnded(index, step)))
            evil.work(0.0)
        last = evil.ended(job, JobState.SUCCEEDED)
        evil.until(lambda: evil.acknowledged >= last, "the acknowledgements")
        shown = master.wait_job(job)
        assert shown["shortened"] and set(shown["states"]) == {"succeeded"}
        size = (master.state_dir / "master.db").stat().st_size
        assert size < 2.5 * 67_000_000, f"{size} bytes of database"


def test_a_job_with_more_results_than_an_answer_holds_is_shown(master: MasterProcess) -> None:
    with master.admit(master.peer("osd1")) as one, master.admit(master.peer("osd2")) as two:
        for peer in (one, two):
            peer.answer = lambda call: "\0" * 1_500_000
            peer.join()
        job = master.call("jobs.start", target="osd*", function="test.ping")["job"]

        def ended() -> bool:
            one.work(0.02)
            two.work(0.02)
            return all(peer.acknowledged for peer in (one, two))

        wait_for(ended, "both acknowledgements")
        shown = master.wait_job(job)
        assert shown["shortened"] and shown["states"] == {"succeeded": 2}
        assert all("left out" in each["value"] for each in shown["minions"].values())


def test_a_minion_that_begins_sessions_without_end_is_kept_out(master: MasterProcess) -> None:
    with master.admit(master.peer("evil")) as evil:
        for _ in range(60):
            evil.connect()
            evil.work(0.02)
            evil.leave()
            if any(event.tag == "minion/evil/cut" for event in master.events("minion/evil/*")):
                break
        assert "begun too often" in str(master.wait_event("minion/evil/cut").data)


def test_what_is_secret_by_name_is_in_no_record_whatever_its_length_and_place(master: MasterProcess) -> None:
    (master.states / "a.sls").write_text("/a:\n  file.managed:\n    - contents: x\n")
    with master.admit(master.peer("osd1")) as peer:
        peer.join()
        secrets = ["q9z7", "canary-in-the-pillar-of-an-apply", "canary-by-position", "canary-inner"]
        kwargs = {"cmd": "true", "env": {"DB_PASSWORD": secrets[0]}}
        done = [master.call("jobs.start", target="osd1", function="cmd.run", kwargs=kwargs)["job"]]
        pillar = {"api_key": secrets[1], "inner": {"zzz": secrets[3]}}
        apply = {"function": "state.apply", "args": ["a"], "kwargs": {"pillar": pillar}}
        done.append(master.call("jobs.start", target="osd1", **apply)["job"])
        with pytest.raises(MasterError):
            master.call("jobs.start", target="osd1", function="own.set_password", args=["bob", secrets[2]])
        for job in done:
            until_ended(master, peer, job)
        told = json.dumps([event.data for event in master.events()]) + json.dumps(master.call("audit.show", limit=99))
        kept = b"".join(file.read_bytes() for file in master.state_dir.glob("master.db*"))
        for secret in secrets:
            assert secret not in told and secret not in master.logged()
            assert secret.encode() not in kept
        assert '\\"a\\"' in told, "the names of SLS are in the audit"


def test_a_file_in_the_place_of_the_socket_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "api.sock").write_text("precious")
    with pytest.raises(AssertionError, match="is no socket"):
        MasterProcess(tmp_path).start()
    assert (tmp_path / "api.sock").read_text() == "precious"


def test_a_second_master_does_not_take_the_socket_of_the_first(master: MasterProcess, tmp_path: Path) -> None:
    (tmp_path / "second").mkdir()
    second = MasterProcess(tmp_path / "second", {"socket": str(master.socket)})
    with pytest.raises(AssertionError, match="another master listens"):
        second.start()
    assert master.call("status")["minions"] == {"accepted": 0, "connected": 0}
