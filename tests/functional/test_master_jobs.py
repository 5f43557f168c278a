"""A job from the API over the wire to a peer and back, on the real master."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.functional.master_process import MasterProcess


@pytest.fixture
def master(tmp_path: Path) -> Iterator[MasterProcess]:
    with MasterProcess(tmp_path) as process:
        yield process


def test_a_function_is_called_and_its_value_stored(master: MasterProcess) -> None:
    with master.admit(master.peer("osd1")) as peer:
        peer.join()
        started = master.call("jobs.start", target="*", function="test.ping")
        peer.until(lambda: peer.acknowledged == 1, "the acknowledgement")
    shown = master.wait_job(started["job"])
    assert started["minions"] == ["osd1"]
    assert shown["minions"]["osd1"]["state"] == "succeeded"
    assert shown["minions"]["osd1"]["value"] is True
    assert shown["ended"] is not None


def test_states_are_compiled_sent_and_their_results_kept(master: MasterProcess) -> None:
    (master.states / "motd.sls").write_text(
        "/etc/motd:\n  file.managed:\n    - source: salt://motd\n/etc/issue:\n  file.managed:\n    - contents: hello\n"
    )
    (master.states / "motd").write_text("welcome\n")
    with master.admit(master.peer("osd1")) as peer:
        peer.join()
        job = master.call("jobs.start", target="osd*", kind="apply", sls=["motd"])["job"]
        peer.until(lambda: peer.acknowledged == 4, "the last acknowledgement")
    shown = master.wait_job(job)["minions"]["osd1"]
    assert shown["state"] == "succeeded"
    assert [step["name"] for step in shown["steps"]] == ["/etc/motd", "/etc/issue"]
    assert shown["steps"][0]["changes"][0]["kind"] == "create"
    tags = [tag.partition(f"job/{job}/")[2] for tag in master.tags() if tag.startswith("job/")]
    assert tags == [
        "new", "minion/osd1/state", "minion/osd1/step/started", "minion/osd1/step/ended", "minion/osd1/step/started",
        "minion/osd1/step/ended", "minion/osd1/state", "ended",
    ]  # fmt: skip
