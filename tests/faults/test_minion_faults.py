"""The real minion daemon when its host fails it: no space, a crash at a bad moment, processes that will not end."""

from __future__ import annotations

import os
import resource
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from protocol.assignment import Chunk
from protocol.command import Call, Cancel
from protocol.messages import JobUpdate
from protocol.names import new_job_id
from protocol.results import JobState
from protocol.token import JoinToken
from tests.functional.test_minion_daemon import apply, touch
from tests.functional.wire_master import RealMinion, WireMaster


@pytest.fixture
def master() -> Iterator[WireMaster]:
    with WireMaster() as it:
        yield it


@pytest.fixture
def minion(master: WireMaster, tmp_path: Path) -> Iterator[RealMinion]:
    it = RealMinion(tmp_path / "minion", "osd1")
    public = master.identity.public
    token = JoinToken((f"127.0.0.1:{master.door_port}",), public.signing, public.curve, "secret")
    joining = it.command("join", token.text())
    master.serve_until(lambda: joining.poll() is not None, "join to end")
    it.start()
    master.connected()
    yield it
    it.kill()


def marked(master: WireMaster, path: Path) -> int:
    """Serve until a command wrote its pid into `path`; the pid."""
    master.serve_until(lambda: path.exists() and path.read_text().strip(), f"{path.name} to be written")
    return int(path.read_text().split()[0])


def gone(pid: int) -> bool:
    """Whether a process is gone (a zombie has no files any more)."""
    try:
        return not list(Path(f"/proc/{pid}/fd").iterdir())
    except OSError:
        return True


def test_without_space_it_refuses_and_lives_and_works_again(master: WireMaster, minion: RealMinion) -> None:
    assert minion.process is not None
    pid = minion.process.pid
    before = resource.prlimit(pid, resource.RLIMIT_FSIZE)
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (0, before[1]))
    master.order("osd1", first := new_job_id(1.0), apply((touch("/etc/a"),)))
    ended = master.finish(first)
    assert ended.state is JobState.REFUSED
    assert "cannot be journaled" in ended.reason
    master.order("osd1", ping := new_job_id(2.0), Call("test.ping", (), {}, 5.0))
    assert master.finish(ping).state is JobState.SUCCEEDED
    resource.prlimit(pid, resource.RLIMIT_FSIZE, before)
    master.order("osd1", again := new_job_id(3.0), apply((touch("/etc/a"),)))
    assert master.finish(again).state is JobState.SUCCEEDED
    assert minion.process.poll() is None


def test_a_second_daemon_does_not_start(master: WireMaster, minion: RealMinion) -> None:
    assert minion.process is not None
    assert minion.command("serve").wait(20) == 2
    assert f"(pid {minion.process.pid})" in minion.log()


def test_the_next_apply_waits_until_nothing_of_a_cancelled_one_is_left(master: WireMaster, minion: RealMinion) -> None:
    root = minion.root
    stubborn = f"trap '' TERM; echo $$ > {root}/pid; while :; do sleep 0.1; done"
    chunk = touch("/etc/b")
    slow = apply((_command(stubborn),))
    master.order("osd1", first := new_job_id(1.0), slow)
    pid = marked(master, root / "pid")
    master.order("osd1", second := new_job_id(2.0), apply((chunk,)))
    master.order("osd1", new_job_id(3.0), Cancel(first))
    assert master.finish(first).state is JobState.CANCELLED
    assert gone(pid)
    assert master.finish(second).state is JobState.SUCCEEDED


def _command(script: str) -> Chunk:
    return Chunk("cmd", "run", "slow", script, "s", {})


def test_a_cancelled_apply_is_not_run_again_after_a_crash(master: WireMaster, minion: RealMinion) -> None:
    root = minion.root
    script = f"trap '' TERM; echo run >> {root}/runs; echo $$ > {root}/pid; while :; do sleep 0.1; done"
    master.order("osd1", job := new_job_id(1.0), apply((_command(script),)))
    pid = marked(master, root / "pid")
    runner = int((minion.state / "jobs" / job / "lock").read_text().split()[0])
    master.order("osd1", new_job_id(2.0), Cancel(job))
    verdict = minion.state / "jobs" / job / "verdict"
    master.serve_until(verdict.exists, "the verdict to be written")
    minion.kill()
    for victim in (runner, pid):
        try:
            os.killpg(victim, signal.SIGKILL)
        except ProcessLookupError:
            continue
    minion.start()
    assert master.finish(job).state is JobState.CANCELLED
    assert (root / "runs").read_text() == "run\n"


def test_an_apply_goes_on_at_the_first_step_without_a_result(master: WireMaster, minion: RealMinion) -> None:
    root = minion.root
    first = _command(f"echo one >> {root}/steps")
    second = _command(f"echo $$ > {root}/pid; [ -e {root}/go ] || sleep 60; echo two >> {root}/steps")
    master.order("osd1", job := new_job_id(1.0), apply((first, second)))
    pid = marked(master, root / "pid")
    runner = int((minion.state / "jobs" / job / "lock").read_text().split()[0])
    minion.kill()
    for victim in (runner, pid):
        os.killpg(victim, signal.SIGKILL)
    (root / "go").touch()
    minion.start()
    assert master.finish(job).state is JobState.SUCCEEDED
    assert (root / "steps").read_text() == "one\ntwo\n"


def test_a_job_that_lived_on_is_taken_back(master: WireMaster, minion: RealMinion) -> None:
    root = minion.root
    script = f"echo $$ > {root}/pid; while [ ! -e {root}/go ]; do sleep 0.05; done; echo done >> {root}/steps"
    master.order("osd1", job := new_job_id(1.0), apply((_command(script),)))
    marked(master, root / "pid")
    minion.kill()
    minion.start()
    master.connected()
    (root / "go").touch()
    assert master.finish(job).state is JobState.SUCCEEDED
    assert (root / "steps").read_text() == "done\n"
    updates = [r for r in master.records() if isinstance(r, JobUpdate) and r.job == job and r.state.terminal]
    assert {update.state for update in updates} == {JobState.SUCCEEDED}
