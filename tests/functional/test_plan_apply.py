"""A plan kept in a file: applied exactly as it was foretold, or refused naming what moved."""

from __future__ import annotations

import json
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.functional.cli_house import House, house
from tests.functional.wire_master import RealMinion

CANARY = "c4n4ry-9f8e7d6c5b4a"
CONF = """
/etc/app:
  file.directory
/etc/app/app.conf:
  file.managed:
    - contents: 'host = {{ grains["id"] }}, version = {{ pillar["version"] }}'
    - require:
      - file: /etc/app
/etc/app/key:
  file.managed:
    - contents_pillar: password
    - mode: '0600'
/etc/app/mode:
  file.managed:
    - source: salt://mode
    - mode: '0640'
"""


@pytest.fixture
def here(tmp_path: Path) -> Iterator[House]:
    with house(tmp_path, "osd1", "osd2") as built:
        built.sls("conf", CONF)
        (built.master.states / "mode").write_text("one\n")
        built.master.pillar.joinpath("top.sls").write_text("base:\n  '*':\n    - app\n")
        built.master.pillar.joinpath("app.sls").write_text(f"version: 1\npassword: {CANARY}\n")
        yield built


def planned(here: House, target: str = "*") -> Path:
    """Make a plan of the SLS `conf`; its file."""
    file = here.master.folder / "plan.json"
    ran = here.run("plan", target, "conf", "-o", str(file))
    assert ran.code == 0, ran.err
    assert "~" in ran.out or "+" in ran.out, ran.out
    return file


def moved(here: House, file: Path) -> list[tuple[str, str, str]]:
    """What moved since the plan, as the machine output tells it; nothing may have been applied."""
    ran = here.run("apply", "--plan", str(file), "-o", "json")
    assert ran.code == 7, ran.out + ran.err
    return [(each["minion"], each["subject"], each["aspect"]) for each in ran.json()["moved"]]


def content(here: House, minion: str) -> str:
    return (here.root(minion) / "etc/app/app.conf").read_text()


def test_what_was_planned_is_applied_though_the_tree_says_otherwise_by_then(here: House) -> None:
    file = planned(here)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert CANARY not in file.read_text()
    here.sls("conf", CONF.replace("host", "HOST"))
    (here.master.states / "mode").write_text("two\n")
    here.master.pillar.joinpath("app.sls").write_text("version: 2\npassword: other-word-12345\n")
    ran = here.run("apply", "--plan", str(file))
    assert ran.code == 0, ran.out + ran.err
    assert content(here, "osd1") == "host = osd1, version = 1\n"
    assert content(here, "osd2") == "host = osd2, version = 1\n"
    assert (here.root("osd1") / "etc/app/mode").read_text() == "one\n"
    assert (here.root("osd1") / "etc/app/key").read_text() == f"{CANARY}\n"
    assert CANARY not in ran.out + ran.err
    # what it foretold is not to be done any more: the plan is used up
    assert {each[0] for each in moved(here, file)} == {"osd1", "osd2"}


def test_a_host_that_moved_refuses_the_whole_and_is_named(here: House) -> None:
    assert here.run("apply", "*", "conf").code == 0
    here.master.pillar.joinpath("app.sls").write_text(f"version: 2\npassword: {CANARY}\n")
    file = planned(here)
    (here.root("osd2") / "etc/app/mode").chmod(0o600)
    (here.root("osd2") / "etc/app/app.conf").write_text("by hand\n")
    assert moved(here, file) == [("osd2", "/etc/app/app.conf", "content"), ("osd2", "/etc/app/mode", "mode")]
    ran = here.run("apply", "--plan", str(file))
    assert ran.code == 7
    assert "moved /etc/app/mode mode on osd2" in ran.out
    assert "was: nothing to do" in ran.out
    assert "is:  change '0600' -> '0640'" in ran.out
    assert "refused: nothing was applied" in ran.err
    assert content(here, "osd1").startswith("host = osd1, version = 1")
    # put back as it was, the plan holds again
    (here.root("osd2") / "etc/app/mode").chmod(0o640)
    (here.root("osd2") / "etc/app/app.conf").write_text("host = osd2, version = 1\n")
    assert here.run("apply", "--plan", str(file)).code == 0
    assert content(here, "osd2").startswith("host = osd2, version = 2")


def test_a_target_that_means_others_by_now_is_refused_with_their_names(here: House, tmp_path: Path) -> None:
    file = planned(here)
    third = here.minions["osd3"] = RealMinion(tmp_path / "osd3", "osd3")
    assert third.command("join", here.master.call("keys.token")["token"]).wait(60) == 0
    ran = here.run("apply", "--plan", str(file))
    assert ran.code == 7
    assert "osd3 joined" in ran.err
    here.master.call("keys.delete", ids=["osd2", "osd3"])
    ran = here.run("apply", "--plan", str(file))
    assert ran.code == 7
    assert "osd2 left" in ran.err
    assert not (here.root("osd1") / "etc/app").exists()


def test_an_edited_plan_is_refused(here: House) -> None:
    file = planned(here, "osd1")
    plan = json.loads(file.read_text())
    minion = plan["minions"]["osd1"]
    for edited in (
        {**plan, "target": "*"},
        {**plan, "minions": {"osd1": minion, "osd2": minion}},
        {**plan, "expires": plan["expires"] + 1e6},
        {**plan, "foretold": {minion["foretold"]: []}},
        {**plan, "seal": ""},
        {"schema": plan["schema"]},
        {},
    ):
        file.write_text(json.dumps(edited))
        ran = here.run("apply", "--plan", str(file))
        assert ran.code == 7, (edited, ran.out)
    assert not (here.root("osd1") / "etc/app").exists()


def test_a_dry_run_that_fails_gives_no_plan(here: House) -> None:
    here.sls("broken", "bad:\n  file.managed:\n    - name: relative\n    - contents: x\n")
    file = here.master.folder / "plan.json"
    ran = here.run("plan", "osd1", "broken", "--out", str(file))
    assert ran.code == 4
    assert "was not written" in ran.err
    assert not file.exists()


def test_a_plan_says_all_by_itself(here: House) -> None:
    for words in (["osd1", "--plan", "x.json"], ["--plan", "x.json", "--test"]):
        assert here.run("apply", *words).code == 2
    assert here.run("apply", "--plan", "missing.json").code == 2
    assert here.run("apply", "osd1", "-o", "plan.json").code == 2
    assert here.run("plan", "osd1", "conf", "--local", "-o", "plan.json").code == 2
