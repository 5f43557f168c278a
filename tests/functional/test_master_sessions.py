"""Sessions and the life of a job on the real master: who is here, what waits, what is lost, cancelled, sent again."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from master.cli.client import Client, MasterError
from protocol.command import Apply, Call, Cancel
from protocol.messages import EventRaised, Facts, JobUpdate, Welcome
from protocol.results import JobState
from tests.functional.master_process import MasterProcess, wait_for
from tests.functional.wire_peer import WirePeer


@pytest.fixture
def master(tmp_path: Path) -> Iterator[MasterProcess]:
    with MasterProcess(tmp_path) as process:
        yield process


@pytest.fixture
def peer(master: MasterProcess) -> Iterator[WirePeer]:
    with master.admit(master.peer("osd1")) as it:
        yield it


def here(master: MasterProcess) -> list[str]:
    return [minion["id"] for minion in master.call("minions.list")["minions"] if minion["connected"]]


def until_told(master: MasterProcess, peer: WirePeer, tag: str, count: int = 1) -> None:
    peer.until(lambda: master.tags().count(tag) >= count, tag)


def test_the_welcome_tells_the_terms(master: MasterProcess, peer: WirePeer) -> None:
    peer.join()
    welcome = next(message for message in peer.heard if isinstance(message, Welcome))
    assert (welcome.wire, welcome.heartbeat, welcome.window) == (1, 0.4, 64)
    wait_for(lambda: here(master) == ["osd1"], "the minion to be shown as connected")


def test_grains_are_kept_and_the_id_is_not_theirs_to_say(master: MasterProcess, peer: WirePeer) -> None:
    peer.join({"id": "another", "osrelease": "12"})
    wait_for(lambda: master.call("minions.show", id="osd1")["grains"], "the grains")
    shown = master.call("minions.show", id="osd1")
    assert shown["grains"] == {"os": "Debian", "osrelease": "12", "id": "osd1"}
    assert shown["os"] == "Debian 12"
    assert master.call("target.show", target="G@os:Debian", kind="compound")["minions"] == ["osd1"]
    wait_for(lambda: _stored_grains(master), "the grains to be stored")
    master.stop()
    master.start()
    assert master.call("minions.show", id="osd1")["grains"]["os"] == "Debian"


def _stored_grains(master: MasterProcess) -> bool:
    connection = sqlite3.connect(master.state_dir / "master.db")
    found = connection.execute("SELECT count(*) FROM minions WHERE grains IS NOT NULL").fetchone()[0]
    connection.close()
    return bool(found)


def test_a_silent_minion_is_lost_and_comes_back(master: MasterProcess, peer: WirePeer) -> None:
    peer.join()
    peer.silent = True
    lost = master.wait_event("minion/osd1/lost")
    connected = master.wait_event("minion/osd1/connected")
    assert 3 * 0.4 <= lost.at - connected.at < 3 * 0.4 + 2.0
    assert here(master) == []
    peer.leave()
    peer.silent = False
    peer.heard.clear()
    peer.join()
    until_told(master, peer, "minion/osd1/back")


def test_a_job_waits_for_a_minion_that_is_away(master: MasterProcess, peer: WirePeer) -> None:
    job = master.call("jobs.start", target="osd1", function="test.ping")["job"]
    assert master.call("jobs.show", job=job)["states"] == {"pending": 1}
    peer.join()
    peer.until(lambda: peer.acknowledged, "the acknowledgement")
    assert master.call("jobs.show", job=job)["states"] == {"succeeded": 1}


def test_a_minion_that_never_comes_is_lost_at_the_deadline(master: MasterProcess, peer: WirePeer) -> None:
    job = master.call("jobs.start", target="osd1", function="test.ping", timeout=0.5)["job"]
    shown = master.wait_job(job)["minions"]["osd1"]
    assert shown["state"] == "lost"
    assert "not connected" in shown["reason"]


def test_a_minion_that_does_not_get_done_is_timed_out_and_told_to_stop(master: MasterProcess, peer: WirePeer) -> None:
    peer.obey = lambda job, order: peer.ended(job, JobState.RUNNING)  # type: ignore[method-assign, assignment]
    peer.join()
    job = master.call("jobs.start", target="osd1", function="test.ping", timeout=0.6)["job"]
    peer.until(lambda: any(isinstance(order, Cancel) and order.job == job for _, order in peer.orders), "the cancel")
    wait_for(lambda: master.call("jobs.show", job=job)["ended"], "the end")
    assert master.call("jobs.show", job=job)["states"] == {"timed out": 1}


def test_a_lost_command_is_sent_again_and_a_journaled_one_is_not(master: MasterProcess, peer: WirePeer) -> None:
    peer.obey = lambda job, order: None  # type: ignore[method-assign]
    peer.join()
    first = master.call("jobs.start", target="osd1", function="test.ping")["job"]
    second = master.call("jobs.start", target="osd1", function="test.ping")["job"]
    peer.until(lambda: len(peer.orders) == 2, "both commands")
    # the first was journaled before the connection broke, the second was not
    peer.high_water = peer.orders[0][0].sequence
    peer.leave()
    peer.orders.clear()
    peer.heard.clear()
    peer.join()
    peer.until(lambda: peer.orders, "the second command")
    assert [header.job for header, _ in peer.orders] == [second]
    peer.ended(first, JobState.SUCCEEDED, 1)
    peer.ended(second, JobState.SUCCEEDED, 2)
    peer.until(lambda: peer.acknowledged == 2, "the acknowledgements")
    assert master.wait_job(first)["minions"]["osd1"]["value"] == 1


def test_reports_that_come_twice_are_stored_once(master: MasterProcess, peer: WirePeer) -> None:
    peer.join()
    (master.states / "a.sls").write_text("/a:\n  file.managed:\n    - contents: x\n")
    job = master.call("jobs.start", target="osd1", kind="apply", sls=["a"])["job"]
    peer.until(lambda: peer.acknowledged == 3, "the acknowledgements")
    master.wait_job(job)
    before = master.tags()
    _, order = peer.orders[0]
    assert isinstance(order, Apply)
    peer.apply(job, peer.fetched(order), order)
    peer.until(lambda: peer.acknowledged == 6, "the acknowledgements")
    assert master.tags() == before
    assert len(master.call("jobs.show", job=job)["minions"]["osd1"]["steps"]) == 1


def test_an_end_is_an_end(master: MasterProcess, peer: WirePeer) -> None:
    peer.join()
    job = master.call("jobs.start", target="osd1", function="test.ping")["job"]
    peer.until(lambda: peer.acknowledged, "the acknowledgement")
    peer.ended(job, JobState.FAILED, reason="changed its mind")
    peer.until(lambda: peer.acknowledged == 2, "the acknowledgement")
    assert master.call("jobs.show", job=job)["states"] == {"succeeded": 1}


def test_cancelling_ends_at_once_what_was_never_sent(master: MasterProcess, peer: WirePeer) -> None:
    job = master.call("jobs.start", target="osd1", function="test.ping")["job"]
    assert master.call("jobs.cancel", job=job)["minions"] == ["osd1"]
    assert master.call("jobs.show", job=job)["states"] == {"cancelled": 1}
    peer.join()
    peer.work(0.5)
    assert peer.orders == []


def test_cancelling_is_confirmed_by_a_minion_that_runs_it(master: MasterProcess, peer: WirePeer) -> None:
    peer.obey = lambda job, order: peer.ended(job, JobState.RUNNING)  # type: ignore[method-assign, assignment]
    peer.join()
    job = master.call("jobs.start", target="osd1", function="test.ping")["job"]
    peer.until(lambda: peer.acknowledged, "the acknowledgement")
    master.call("jobs.cancel", job=job)
    assert master.call("jobs.show", job=job)["states"] == {"running": 1}
    peer.until(lambda: peer.acknowledged == 2, "the acknowledgement")
    assert master.call("jobs.show", job=job)["states"] == {"cancelled": 1}


def test_the_sequence_grows_over_restarts(master: MasterProcess, peer: WirePeer) -> None:
    seen = []
    for _ in range(3):
        peer.heard.clear()
        peer.join()
        master.call("jobs.start", target="osd1", function="test.ping")
        peer.until(lambda: peer.acknowledged, "the acknowledgement")
        seen.append(peer.orders[-1][0].sequence)
        peer.leave()
        master.kill()
        master.start()
    assert seen == sorted(set(seen))


def test_what_waited_is_sent_after_a_restart(master: MasterProcess, peer: WirePeer) -> None:
    job = master.call("jobs.start", target="osd1", function="test.echo", args=["hello"])["job"]
    master.kill()
    master.start()
    peer.answer = lambda call: call.kwargs["text"]
    peer.join()
    peer.until(lambda: peer.acknowledged, "the acknowledgement")
    assert master.call("jobs.show", job=job)["minions"]["osd1"]["value"] == "hello"


def test_a_deadline_holds_over_a_restart(master: MasterProcess, peer: WirePeer) -> None:
    job = master.call("jobs.start", target="osd1", function="test.ping", timeout=1.0)["job"]
    master.kill()
    master.start()
    assert master.wait_job(job)["states"] == {"lost": 1}


def test_events_of_a_minion_are_under_its_own_name(master: MasterProcess, peer: WirePeer) -> None:
    peer.join()
    peer.report(EventRaised("router/failover", {"to": "net2"}, 1.0))
    event = _worked(master, peer, "minion/osd1/router/failover")
    assert event == {"to": "net2"}


def _worked(master: MasterProcess, peer: WirePeer, tag: str) -> object:
    peer.until(lambda: master.events(tag), tag)
    return master.events(tag)[0].data


def test_watching_tells_a_job_from_its_beginning_to_its_end(master: MasterProcess, peer: WirePeer) -> None:
    peer.join()
    job = master.call("jobs.start", target="osd1", function="test.ping")["job"]
    peer.until(lambda: peer.acknowledged, "the acknowledgement")
    for _ in range(2):
        with Client(master.socket) as client:
            stream = client.stream("jobs.watch", {"job": job})
            tags = []
            while stream.result is None:
                event = stream.next(10.0)
                if event is not None:
                    tags.append(event.tag)
        assert tags == [f"job/{job}/new", f"job/{job}/minion/osd1/state", f"job/{job}/ended"]
        assert stream.result == {"states": {"osd1": "succeeded"}}


def test_a_restarted_minion_takes_its_session_over(master: MasterProcess, peer: WirePeer) -> None:
    peer.join()
    with master.peer("osd1", peer.identity, machine_id=peer.machine_id) as again:
        again.join()
        job = master.call("jobs.start", target="osd1", function="test.ping")["job"]
        again.until(lambda: again.acknowledged, "the acknowledgement")
        peer.work(0.3)
        assert peer.orders == []
        assert master.call("jobs.show", job=job)["states"] == {"succeeded": 1}
        assert not master.events("minion/osd1/conflict")


def test_two_machines_with_one_key_are_both_kept_out(master: MasterProcess, peer: WirePeer) -> None:
    peer.join()
    with master.peer("osd1", peer.identity, machine_id="cloned", boot_id="boot-2") as clone:
        clone.join()
        clone.work(0.1)
        until_told(master, peer, "minion/osd1/conflict")
        assert here(master) == []
        master.call("jobs.start", target="osd1", function="test.ping")
        for each in (peer, clone):
            each.heard.clear()
            each.work(0.5)
            assert each.orders == []


def test_facts_that_are_too_large_are_not_taken(master: MasterProcess, peer: WirePeer) -> None:
    peer.join()
    wait_for(lambda: master.call("minions.show", id="osd1")["grains"], "the grains")
    peer.send(Facts({"blob": "x" * 1_000_000}))
    peer.report(JobUpdate("none", JobState.FAILED, 1.0))
    peer.until(lambda: peer.acknowledged, "the acknowledgement")
    assert "blob" not in master.call("minions.show", id="osd1")["grains"]
    assert master.call("status")["dropped"]["bad"] == 1


def test_a_wrong_call_is_refused_before_anything_is_sent(master: MasterProcess, peer: WirePeer) -> None:
    peer.join()
    wrong: list[dict[str, Any]] = [
        {"target": "osd1", "function": "test.pong"},
        {"target": "osd1", "function": "test.echo"},
        {"target": "osd1", "kind": "apply", "sls": ["missing"]},
        {"target": "nobody", "function": "test.ping"},
        {"target": "( osd1", "function": "test.ping"},
        {"target": "osd1", "kind": "remove"},
    ]
    codes = []
    for request in wrong:
        with pytest.raises(MasterError) as raised:
            master.call("jobs.start", **request)
        codes.append(raised.value.answered_exit)
    assert codes == [2, 2, 2, 6, 2, 2]
    assert master.call("jobs.list")["jobs"] == []
    peer.work(0.3)
    assert [order for _, order in peer.orders if isinstance(order, Call | Apply)] == []
