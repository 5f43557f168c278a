"""Runs that persons steer, on a real master and real minions: cleanup over kill -9, approvals, pause, skip, retry."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.functional.cli_house import House, house, poll


def hold(go: Path, log: Path) -> str:
    """An SLS that waits for a file and then leaves a line in another."""
    return f"hold:\n  cmd.run:\n    - name: 'while ! test -e {go}; do sleep 0.05; done; echo x >> {log}'\n"


def note(log: Path, word: str) -> str:
    """An SLS that leaves a word in a file."""
    return f"note:\n  cmd.run:\n    - name: 'echo {word} >> {log}'\n"


def step(id: str, sls: str, *more: str, tgt: str = "osd1") -> str:
    """A salt.state step."""
    lines = [f"- tgt: '{tgt}'", f"- sls: {sls}", *more]
    return f"{id}:\n  salt.state:\n" + "".join(f"    {line}\n" for line in lines)


@pytest.fixture
def here(tmp_path: Path) -> Iterator[House]:
    with house(tmp_path, "osd1", "osd2") as built:
        yield built


def begun(here: House, run: str, name: str) -> object:
    """Whether a job of a step runs on a minion."""
    jobs = [event.data.get("job") for event in here.master.events(f"run/{run}/step/{name}/started")]
    return [
        event for job in jobs if job for event in here.master.events(f"job/{job}/minion/*/step/started")
    ]  # fmt: skip


@pytest.mark.parametrize("times", [1, 3])
def test_a_cleanup_ends_once_though_the_master_is_killed_in_it(here: House, tmp_path: Path, times: int) -> None:
    go, log = tmp_path / "go", tmp_path / "notes"
    here.sls("bad", "bad:\n  cmd.run:\n    - name: exit 3\n")
    here.sls("undo", hold(go, log))
    here.sls("last", note(log, "last"))
    here.sls(
        "orch.clean",
        step("work", "bad") + step("undo", "undo", "- cleanup: true") + step("last", "last", "- cleanup: true"),
    )
    run = here.run("run", "orch.clean", "--detach").out.strip()
    poll(lambda: begun(here, run, "undo"), "the cleanup to begin on its minion")
    for _ in range(times):
        here.master.kill()
        here.master.start()
    go.write_text("")
    watched = here.run("runs", "watch", run)
    assert watched.code == 4, watched.out + here.master.logged()
    assert log.read_text() == "x\nlast\n", "each cleanup step ran once"
    tags = here.master.tags()
    assert [tags.count(f"run/{run}/step/{name}/ended") for name in ("work", "undo", "last")] == [1, 1, 1]
    assert tags.count(f"run/{run}/ended") == 1
    assert len(here.master.events("job/*/new")) == 3


def test_a_cancel_leaves_the_cleanup_alone_and_force_does_not(here: House, tmp_path: Path) -> None:
    never, log = tmp_path / "never", tmp_path / "notes"
    here.sls("wait", hold(never, log))
    here.sls("orch.stop", step("work", "wait") + step("undo", "wait", "- cleanup: true"))
    run = here.run("run", "orch.stop", "--detach").out.strip()
    poll(lambda: begun(here, run, "work"), "the job to begin")
    assert here.run("runs", "cancel", run).code == 0
    poll(lambda: begun(here, run, "undo"), "the cleanup to begin")
    again = here.run("runs", "cancel", run)
    assert again.code == 7
    assert "is at its cleanup" in again.err
    assert here.master.call("runs.show", run=run)["state"] == "running"
    assert here.run("runs", "cancel", run, "--force").code == 0
    watched = here.run("runs", "watch", run)
    assert (watched.code, "cancelled" in watched.out) == (1, True)
    assert not log.exists()
    assert here.master.call("status")["jobs_running"] == 0


def test_an_approval_is_waited_for_over_a_restart_and_kept_with_who_gave_it(here: House, tmp_path: Path) -> None:
    log = tmp_path / "notes"
    here.sls("note", note(log, "done"))
    here.sls(
        "orch.ask",
        "ask:\n  approve.wait:\n    - message: now?\n" + step("note", "note", "- require:", "  - approve: ask"),
    )
    run = here.run("run", "orch.ask", "--detach").out.strip()
    poll(lambda: here.master.events(f"run/{run}/step/ask/waiting"), "the question")
    here.master.kill()
    here.master.start()
    assert not log.exists()
    assert here.run("runs", "approve", run, "other").code == 7
    told = here.run("runs", "approve", run[-6:], "--comment", "graphs are fine", "-o", "json")
    assert told.json() == {"schema": "stackmaster.run-changed/1", "run": run, "what": "approved", "step": "ask"}
    watched = here.run("runs", "watch", run)
    assert watched.code == 0, watched.out
    assert "approved by root: graphs are fine" in watched.out
    assert log.read_text() == "done\n"
    (who,) = [
        one["user"] for one in here.master.call("audit.show", limit=50)["records"]
        if one["call"] == "runs.decide" and "graphs are fine" in str(one["arguments"])
    ]  # fmt: skip
    assert who == "root"
    denied = here.run("run", "orch.ask", "--detach").out.strip()
    poll(lambda: here.master.events(f"run/{denied}/step/ask/waiting"), "the question")
    assert here.run("runs", "deny", denied).code == 0
    assert here.run("runs", "watch", denied).code == 4
    assert log.read_text() == "done\n"


def test_a_paused_run_stays_so_over_a_restart_and_a_step_can_be_skipped(here: House, tmp_path: Path) -> None:
    go, log = tmp_path / "go", tmp_path / "notes"
    here.sls("wait", hold(go, log))
    here.sls("two", note(log, "two"))
    here.sls("three", note(log, "three"))
    here.sls("orch.pause", step("one", "wait") + step("two", "two") + step("three", "three"))
    run = here.run("run", "orch.pause", "--detach").out.strip()
    poll(lambda: begun(here, run, "one"), "the job to begin")
    assert here.run("runs", "pause", run).code == 0
    poll(lambda: here.master.call("runs.show", run=run)["state"] == "paused", "the pause")
    assert here.run("runs", "pause", run).code == 7
    here.master.kill()
    here.master.start()
    go.write_text("")
    poll(lambda: here.master.events(f"run/{run}/step/one/ended"), "the first step to end")
    shown = here.run("runs", "show", run, "-o", "json").json()
    assert shown["state"] == "paused"
    assert [one["state"] for one in shown["steps"]] == ["succeeded", "waiting", "waiting"]
    assert here.run("runs", "skip", run, "two").code == 0
    assert here.run("runs", "skip", run, "one").code == 7
    assert here.run("runs", "resume", run).code == 0
    assert here.run("runs", "watch", run).code == 0
    assert log.read_text() == "x\nthree\n"


def test_a_retry_goes_on_where_it_failed(here: House, tmp_path: Path) -> None:
    mended, log = tmp_path / "mended", tmp_path / "notes"
    here.sls("first", note(log, "first"))
    here.sls(
        "part",
        "part:\n  cmd.run:\n    - name: 'echo {{ grains[\"id\"] }} >> " + str(log)
        + "; {{ \"test -e " + str(mended) + "\" if grains[\"id\"] == \"osd2\" else \"true\" }}'\n",
    )  # fmt: skip
    here.sls("then", note(log, "then"))
    here.sls(
        "orch.mend",
        step("first", "first") + step("part", "part", "- batch: grain:id", tgt="osd*")
        + step("then", "then", "- require:", "  - salt: part"),
    )  # fmt: skip
    run = here.run("run", "orch.mend", "--detach").out.strip()
    assert here.run("runs", "watch", run).code == 4
    assert log.read_text() == "first\nosd1\nosd2\n"
    mended.write_text("")
    assert here.run("runs", "retry", run, "--failed").code == 0
    watched = here.run("runs", "watch", run, "-o", "json")
    assert (watched.code, watched.json()["state"]) == (0, "succeeded"), watched.out
    assert [one["state"] for one in watched.json()["steps"]] == ["succeeded"] * 3
    assert log.read_text() == "first\nosd1\nosd2\nosd2\nthen\n"
    assert [event.data["attempt"] for event in here.master.events(f"run/{run}/ended")] == [1, 2]
    refused = here.run("runs", "retry", run)
    assert (refused.code, "nothing of the run" in refused.err) == (7, True)


def test_a_gate_compares_with_how_it_was_and_names_what_is_worse(here: House) -> None:
    same = "    - tgt: 'osd*'\n    - function: test.echo\n    - kwarg: {text: {up: 3}}\n    - interval: 0.1\n"
    here.sls("orch.same", f"gate:\n  gate.baseline:\n{same}    - not_less: up\n    - hold: 0.3\n")
    good = here.run("run", "orch.same")
    assert good.code == 0, good.out
    run = here.master.call("runs.list")["runs"][0]["run"]
    (told,) = here.master.events(f"run/{run}/step/gate/baseline")
    assert told.data == {"values": {"osd1": {"up": 3}, "osd2": {"up": 3}}}
    here.sls("orch.more", f"gate:\n  gate.baseline:\n{same}    - conditions: now.up > was.up\n    - timeout: 0.5\n")
    bad = here.run("run", "orch.more")
    assert bad.code == 4
    assert "osd1: now.up is 3" in bad.out


def test_a_step_for_a_failure_runs_only_then(here: House, tmp_path: Path) -> None:
    log = tmp_path / "notes"
    here.sls("bad", "bad:\n  cmd.run:\n    - name: exit 3\n")
    here.sls("note", note(log, "mended"))
    here.sls("fine", note(log, "fine"))
    here.sls(
        "orch.fail",
        step("fine", "fine") + step("not", "note", "- on_failure: fine") + step("bad", "bad")
        + step("mend", "note", "- on_failure: [bad]"),
    )  # fmt: skip
    ran = here.run("run", "orch.fail", "-o", "json").json()
    assert {one["id"]: one["state"] for one in ran["steps"]} == {
        "fine": "succeeded", "not": "skipped", "bad": "failed", "mend": "succeeded",
    }  # fmt: skip
    assert log.read_text() == "fine\nmended\n"
