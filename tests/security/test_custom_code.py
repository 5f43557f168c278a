"""Hostile content and hostile minions against a tree's own code (T2, T5): only what the master signed is run."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from protocol.assignment import Assignment, BlobRef, Chunk, Custom, CustomFile
from protocol.command import Apply, Call
from protocol.messages import BlobPart, BlobRequest
from protocol.names import new_job_id
from protocol.results import JobState
from protocol.token import JoinToken
from tests.functional.master_process import MasterProcess
from tests.functional.wire_master import RealMinion, WireMaster
from tests.functional.wire_peer import WirePeer

MODULE = b"def mark(path):\n    open(path, 'w').close()\n    return 'done'\n"
STATE = b"""def mark(name):
    open(name, 'w').close()
    return {'name': name, 'changes': {'a': 1}, 'result': True, 'comment': ''}
"""


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def custom() -> Custom:
    """A manifest of MODULE and STATE."""
    files = (("modules", MODULE), ("states", STATE))
    return Custom(
        tuple(
            CustomFile(kind, "mine.py", ("mine",), BlobRef(digest(content), len(content)))  # type: ignore[arg-type]
            for kind, content in files
        )
    )


@pytest.fixture
def master_and_minion(tmp_path: Path) -> Iterator[tuple[WireMaster, RealMinion]]:
    """A master of few lines, and the real daemon of the minion osd1 that joined it."""
    with WireMaster() as master:
        minion = RealMinion(tmp_path / "minion", "osd1")
        own = master.identity.public
        token = JoinToken((f"127.0.0.1:{master.door_port}",), own.signing, own.curve, "secret")
        joining = minion.command("join", token.text())
        master.serve_until(lambda: joining.poll() is not None, "join to end")
        minion.start()
        try:
            master.connected()
            yield master, minion
        finally:
            minion.kill()


def test_signed_code_is_run_and_damaged_code_never(
    master_and_minion: tuple[WireMaster, RealMinion], tmp_path: Path
) -> None:
    master, _ = master_and_minion
    master.blobs = {digest(MODULE): MODULE, digest(STATE): STATE.replace(b"a", b"b")}
    call = Call("mine.mark", (str(tmp_path / "one"),), {}, 30.0, custom=custom())
    master.order("osd1", first := new_job_id(1.0), call)
    damaged = master.finish(first)
    assert damaged.state is JobState.FAILED
    assert "damaged" in damaged.reason
    assert not (tmp_path / "one").exists()
    master.blobs[digest(STATE)] = STATE
    master.order("osd1", second := new_job_id(2.0), call)
    ended = master.finish(second)
    assert (ended.state, ended.value) == (JobState.SUCCEEDED, "done")
    assert (tmp_path / "one").exists()


def test_code_that_was_changed_on_the_disk_is_refused(
    master_and_minion: tuple[WireMaster, RealMinion], tmp_path: Path
) -> None:
    master, minion = master_and_minion
    master.blobs = {digest(MODULE): MODULE, digest(STATE): STATE}
    master.order(
        "osd1", first := new_job_id(1.0), Call("mine.mark", (str(tmp_path / "one"),), {}, 30.0, custom=custom())
    )
    assert master.finish(first).state is JobState.SUCCEEDED

    def change(old: bytes, new: bytes) -> None:
        for content in (MODULE, STATE):
            path = minion.state / "blobs" / digest(content)
            path.write_bytes(content.replace(old, new))
            path.chmod(0o600)

    change(b"open(", b"exec(")
    chunk = Chunk("mine", "mark", "a", str(tmp_path / "two"), "s")
    raw = Assignment("osd1", (chunk,), custom=custom()).encoded()
    master.order("osd1", second := new_job_id(2.0), Apply(digest(raw), raw, False, False, 30.0))
    assert master.finish(second).state is JobState.FAILED
    (step,) = master.steps(second)
    assert "is damaged on this host" in step.comment
    assert not (tmp_path / "two").exists()
    change(b"open(", b"print(")  # of another size: fetched again, and what is signed runs
    call = Call("mine.mark", (str(tmp_path / "three"),), {}, 30.0, custom=custom())
    master.order("osd1", third := new_job_id(3.0), call)
    assert master.finish(third).state is JobState.SUCCEEDED
    assert (tmp_path / "three").exists()


def test_a_call_without_code_finds_none(master_and_minion: tuple[WireMaster, RealMinion], tmp_path: Path) -> None:
    master, _ = master_and_minion
    master.blobs = {digest(MODULE): MODULE, digest(STATE): STATE}
    path = str(tmp_path / "one")
    master.order("osd1", first := new_job_id(1.0), Call("mine.mark", (path,), {}, 30.0, custom=custom()))
    assert master.finish(first).state is JobState.SUCCEEDED
    master.order("osd1", second := new_job_id(2.0), Call("mine.mark", (path,), {}, 30.0))
    ended = master.finish(second)
    assert ended.state is JobState.FAILED
    assert "there is no function 'mine.mark'" in ended.reason


def test_code_for_another_minion_is_not_to_be_had(master: MasterProcess, honest: WirePeer, hostile: WirePeer) -> None:
    (master.states / "_modules").mkdir()
    (master.states / "_modules/mine.py").write_bytes(MODULE)
    (master.pillar / "top.sls").write_text("base:\n  honest:\n    - own\n")
    (master.pillar / "own.sls").write_text("password: for-the-honest-one\n")
    honest.obey = lambda job, order: None  # type: ignore[method-assign]
    master.call("jobs.start", target="honest", function="mine.mark", args=["/tmp/x"])
    honest.until(lambda: honest.orders, "the command")
    order = honest.orders[0][1]
    assert isinstance(order, Call)
    assert order.custom is not None
    assert order.custom.pillar["password"].reveal() == "for-the-honest-one"  # type: ignore[union-attr]
    assert hostile.ask(BlobRequest(digest(MODULE), 0, 100)) == BlobPart(digest(MODULE), 0, -1, b"")
    assert honest.fetch(digest(MODULE)) == MODULE
    master.call("jobs.start", target="hostile", function="mine.mark", args=["/tmp/x"])
    hostile.until(lambda: hostile.orders, "the command")
    other = hostile.orders[0][1]
    assert isinstance(other, Call)
    assert other.custom is not None
    assert other.custom.pillar == {}


def test_a_link_out_of_the_tree_is_no_code(master: MasterProcess, honest: WirePeer, tmp_path: Path) -> None:
    outside = tmp_path / "outside.py"
    outside.write_bytes(MODULE)
    (master.states / "_modules").mkdir()
    (master.states / "_modules/mine.py").symlink_to(outside)
    with pytest.raises(Exception, match=r"there is no function 'mine\.mark'"):
        master.call("jobs.start", target="honest", function="mine.mark", args=["/tmp/x"])


def test_the_master_never_imports_what_it_reads(master: MasterProcess, honest: WirePeer, tmp_path: Path) -> None:
    canary = tmp_path / "canary"
    (master.states / "_modules").mkdir()
    (master.states / "_modules/mine.py").write_text(f"open({str(canary)!r}, 'w').close()\n" + MODULE.decode())
    (master.states / "_states").mkdir()
    (master.states / "_states/mine.py").write_text(f"open({str(canary)!r}, 'w').close()\n" + STATE.decode())
    (master.states / "a.sls").write_text("/x:\n  mine.mark: []\n")
    honest.obey = lambda job, order: None  # type: ignore[method-assign]
    master.call("jobs.start", target="honest", function="mine.mark", args=["/tmp/x"])
    master.call("jobs.start", target="honest", kind="apply", sls=["a"])
    honest.until(lambda: len(honest.orders) == 2, "both commands")
    assert not canary.exists()
