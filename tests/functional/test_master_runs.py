"""An orchestration from the API over its jobs on peers to its end, also over a crash of the master."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from master.cli.client import Client
from protocol.results import JobState
from tests.functional.master_process import MasterProcess
from tests.functional.wire_peer import WirePeer

TWO_STEPS = """
first:
  salt.function:
    - name: test.ping
    - tgt: osd1
second:
  salt.state:
    - tgt: osd1
    - sls: [motd]
    - require:
      - salt: first
"""


@pytest.fixture
def master(tmp_path: Path) -> Iterator[MasterProcess]:
    with MasterProcess(tmp_path) as process:
        (process.states / "two.sls").write_text(TWO_STEPS)
        (process.states / "motd.sls").write_text("/etc/motd:\n  file.managed:\n    - contents: hello\n")
        yield process


@pytest.fixture
def peer(master: MasterProcess) -> Iterator[WirePeer]:
    with master.admit(master.peer("osd1")) as it:
        it.join()
        yield it


def ended(master: MasterProcess, peer: WirePeer, run: str) -> str:
    peer.until(lambda: master.call("runs.show", run=run)["state"] != "running", "the end of the run")
    return str(master.call("runs.show", run=run)["state"])


def test_steps_run_in_order_and_are_told(master: MasterProcess, peer: WirePeer) -> None:
    run = master.call("runs.start", sls=["two"])["run"]
    assert ended(master, peer, run) == "succeeded"
    with Client(master.socket) as client:
        stream = client.stream("runs.watch", {"run": run})
        tags = []
        while stream.result is None:
            event = stream.next(10.0)
            if event is not None:
                tags.append(event.tag)
    steps = [tag.removeprefix(f"run/{run}/") for tag in tags if tag.startswith(f"run/{run}/")]
    assert list(dict.fromkeys(tag for tag in steps if "waiting" not in tag)) == [
        "new", "step/first/started", "step/first/ended", "step/second/started", "step/second/ended", "ended",
    ]  # fmt: skip
    assert len([tag for tag in tags if re.fullmatch("job/[^/]*/ended", tag)]) == 2
    assert master.call("runs.list")["runs"][0]["run"] == run


def test_a_run_goes_on_after_a_crash(master: MasterProcess, peer: WirePeer) -> None:
    held: list[str] = []
    peer.obey = lambda job, order: held.append(job)  # type: ignore[method-assign]
    run = master.call("runs.start", sls=["two"])["run"]
    peer.until(lambda: held, "the first job")
    master.kill()
    master.start()
    peer.leave()
    peer.heard.clear()
    peer.orders.clear()
    del peer.obey
    peer.join()
    peer.ended(held[0], JobState.SUCCEEDED, True)
    assert ended(master, peer, run) == "succeeded"
    assert len(master.call("jobs.list")["jobs"]) == 2
