"""Templates ask real minions over their session, through a real compiling process; large trees keep bounds."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from master.cli.client import MasterError
from tests.benchmarks.compiling import large, tree
from tests.functional.master_process import MasterProcess, wait_for
from tests.functional.wire_master import RealMinion


@pytest.fixture
def master(tmp_path: Path) -> Iterator[MasterProcess]:
    with MasterProcess(tmp_path, {"render_functions": ["cmd.run"]}) as process:
        yield process


@pytest.fixture
def minion(master: MasterProcess, tmp_path: Path) -> Iterator[RealMinion]:
    it = RealMinion(tmp_path / "minion", "osd1")
    it.config.write_text(f"id: osd1\nstate_dir: {it.state}\n")
    joining = it.command("join", master.call("keys.token")["token"])
    assert joining.wait(20) == 0, it.log()
    it.start()
    wait_for(lambda: master.call("minions.show", id="osd1")["grains"], "the grains of the minion")
    yield it
    it.kill()


def names(master: MasterProcess, **more: Any) -> list[str]:
    """The names of the states that osd1 would get."""
    return [chunk["name"] for chunk in master.call("compile", minion="osd1", sls=["ask"], **more)["chunks"]]


def test_a_template_asks_its_minion(master: MasterProcess, minion: RealMinion) -> None:
    there = minion.folder / "there"
    (master.states / "ask.sls").write_text(
        f"a:\n  test.nop:\n    - name: is {{{{ salt['file.file_exists']('{there}') }}}}\n"
        "b:\n  test.nop:\n    - name: is {{ salt['cmd.run']('echo $((6 * 7))') }}\n"
        "c:\n  test.nop:\n    - name: mine {{ salt['mine.get']('osd*', 'test.ping')['osd1'] }}\n"
    )
    assert names(master) == ["is False", "is 42", "mine True"]
    there.write_text("")
    assert names(master) == ["is True", "is 42", "mine True"]


@pytest.mark.parametrize(
    ("template", "message"),
    [
        ("{{ salt['service.restart']('x') }}", "render_functions"),
        ("{{ salt['file.read']('/nothing/is/here') }}", "file.read on osd1"),
        ("{{ salt['file.file_exits']('/x') }}", "did you mean 'file.file_exists'"),
    ],
)
def test_what_may_not_or_cannot_be_asked_is_told(
    master: MasterProcess, minion: RealMinion, template: str, message: str
) -> None:
    (master.states / "ask.sls").write_text(f"a: test.nop\n# {template}\n")
    with pytest.raises(MasterError) as caught:
        names(master)
    assert message in str(caught.value)
    assert "ask.sls:2" in str(caught.value)


def test_a_minion_that_is_away_cannot_be_asked(master: MasterProcess) -> None:
    (master.states / "ask.sls").write_text("a:\n  test.nop:\n    - name: {{ salt['file.file_exists']('/x') }}\n")
    with pytest.raises(MasterError, match="m9 is not connected"):
        master.call("compile", sls=["ask"], grains={"id": "m9"})


def test_two_thousand_states_stay_within_their_memory(tmp_path: Path) -> None:
    tree(tmp_path, 2000)
    states, _, megabytes = large(tmp_path)
    assert states == 2000
    assert megabytes < 200
