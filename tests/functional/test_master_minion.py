"""The real master and the real minion: joined by a token, called, applied to, restarted."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.functional.master_process import MasterProcess, wait_for
from tests.functional.wire_master import RealMinion


@pytest.fixture
def master(tmp_path: Path) -> Iterator[MasterProcess]:
    with MasterProcess(tmp_path) as process:
        yield process


def joined(master: MasterProcess, minion: RealMinion) -> RealMinion:
    joining = minion.command("join", master.call("keys.token")["token"])
    assert joining.wait(20) == 0, minion.log()
    minion.start()
    wait_for(lambda: master.call("minions.show", id="osd1")["grains"], "the grains of the minion")
    return minion


@pytest.fixture
def minion(master: MasterProcess, tmp_path: Path) -> Iterator[RealMinion]:
    """A minion that keeps to a private root."""
    it = RealMinion(tmp_path / "minion", "osd1")
    yield joined(master, it)
    it.kill()


@pytest.fixture
def host_minion(master: MasterProcess, tmp_path: Path) -> Iterator[RealMinion]:
    """A minion of this host, that can run its commands."""
    it = RealMinion(tmp_path / "minion", "osd1")
    it.config.write_text(f"id: osd1\nstate_dir: {it.state}\n")
    yield joined(master, it)
    it.kill()


def test_a_function_is_called(master: MasterProcess, minion: RealMinion) -> None:
    job = master.call("jobs.start", target="G@id:osd1", function="test.echo", args=["hello"])["job"]
    assert master.wait_job(job)["minions"]["osd1"]["value"] == "hello"


def test_states_with_large_files_are_applied(master: MasterProcess, minion: RealMinion) -> None:
    content = os.urandom(2_500_000)
    (master.states / "image").write_bytes(content)
    (master.states / "site.sls").write_text(
        "/srv/image:\n  file.managed:\n    - source: salt://image\n    - makedirs: true\n"
    )
    job = master.call("jobs.start", target="osd1", kind="apply", sls=["site"])["job"]
    shown = master.wait_job(job)["minions"]["osd1"]
    assert shown["state"] == "succeeded", shown["steps"][0]["comment"]
    assert (minion.root / "srv/image").read_bytes() == content
    again = master.call("jobs.start", target="osd1", kind="apply", sls=["site"])["job"]
    assert master.wait_job(again)["minions"]["osd1"]["steps"][0]["changes"] == []


def test_a_master_that_was_killed_hears_how_its_jobs_ended(master: MasterProcess, host_minion: RealMinion) -> None:
    go = host_minion.folder / "go"
    command = f"while ! test -e {go}; do sleep 0.1; done; echo done"
    job = master.call("jobs.start", target="osd1", function="cmd.run", args=[command])["job"]
    wait_for(lambda: master.call("jobs.show", job=job)["states"] == {"running": 1}, "the job to run")
    master.kill()
    go.write_text("")
    master.start()
    shown = master.wait_job(job)["minions"]["osd1"]
    assert shown["state"] == "succeeded", shown["reason"]
    tags = master.tags()
    assert tags.count(f"job/{job}/ended") == 1
    assert tags.count(f"job/{job}/minion/osd1/state") == 3


def test_a_cancelled_job_is_killed_and_confirmed(master: MasterProcess, host_minion: RealMinion) -> None:
    job = master.call("jobs.start", target="osd1", function="cmd.run", args=["sleep 60"])["job"]
    wait_for(lambda: master.call("jobs.show", job=job)["states"] == {"running": 1}, "the job to run")
    assert master.call("jobs.cancel", job=job[-6:])["minions"] == ["osd1"]
    shown = master.wait_job(job)["minions"]["osd1"]
    assert (shown["state"], shown["reason"]) == ("cancelled", "cancelled")
