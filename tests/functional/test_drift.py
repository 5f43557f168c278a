"""Drift: dry runs by the clock, told when what they find is news, and shown by the command line."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.functional.cli_house import House, house, poll

CONF = """
/etc/app.conf:
  file.managed:
    - contents: wanted
    - mode: '0640'
"""


@pytest.fixture
def here(tmp_path: Path) -> Iterator[House]:
    rule = {"interval": "1s", "jitter": "0s", "target": "osd*", "sls": ["conf"]}
    (tmp_path / "states").mkdir()
    (tmp_path / "states/conf.sls").write_text(CONF)
    with house(tmp_path, "mon1", "osd1", "osd2", drift=rule) as built:
        yield built


def standings(here: House) -> dict[str, str | None]:
    """What is known of the drift of each minion."""
    told = here.run("minions", "ls", "--drift", "-o", "json").json()["minions"]
    return {each["id"]: (each["drift"] or {}).get("state") for each in told}


def events(here: House, minion: str) -> list[Mapping[str, Any]]:
    """The drift that was told of a minion, oldest first."""
    return [event.data for event in here.master.events() if event.tag == f"minion/{minion}/drift"]


def test_drift_is_found_told_once_and_gone_when_it_is_mended(here: House) -> None:
    poll(lambda: standings(here) == {"mon1": None, "osd1": "drifted", "osd2": "drifted"}, "the first looks")
    assert not (here.root("osd1") / "etc/app.conf").exists()
    assert here.run("apply", "osd*", "conf").code == 0
    poll(lambda: standings(here) == {"mon1": None, "osd1": "clean", "osd2": "clean"}, "clean minions")
    (here.root("osd2") / "etc/app.conf").chmod(0o666)
    poll(lambda: standings(here)["osd2"] == "drifted", "the drift of osd2")
    shown = here.run("minions", "show", "osd2", "-o", "json").json()["drift"]
    (step,) = shown["steps"]
    (change,) = step["changes"]
    assert (change["subject"], change["aspect"], change["old"], change["new"]) == (
        "/etc/app.conf", "mode", "0666", "0640",
    )  # fmt: skip
    checked = shown["checked"]
    poll(
        lambda: here.run("minions", "show", "osd2", "-o", "json").json()["drift"]["checked"] > checked + 1,
        "two more looks",
    )
    told = events(here, "osd2")
    assert [(each["was"], each["state"], each["changes"]) for each in told] == [
        (None, "drifted", 1), ("drifted", "clean", 0), ("clean", "drifted", 1),
    ]  # fmt: skip
    assert told[-1]["steps"] == shown["steps"]
    assert [each["state"] for each in events(here, "osd1")] == ["drifted", "clean"]
    assert events(here, "mon1") == []
    table = here.run("minions", "ls", "--drift")
    assert [line.split()[:2] for line in table.out.splitlines()[1:]] == [
        ["osd2", "1"], ["mon1", "not"], ["osd1", "clean"],
    ]  # fmt: skip
    assert "3 minions: 1 drifted, 1 not looked at, 1 clean" in table.err


def test_a_tree_that_does_not_compile_is_told_as_a_failure(here: House) -> None:
    poll(lambda: standings(here)["osd1"] == "drifted", "the first look")
    here.sls("conf", "a: [\n")
    poll(lambda: standings(here)["osd1"] == "failed", "the failure")
    told = events(here, "osd1")[-1]
    assert (told["was"], told["state"]) == ("drifted", "failed")
    assert "conf.sls" in told["reason"]


def test_what_was_found_outlives_the_master_and_goes_with_the_key(here: House) -> None:
    poll(lambda: standings(here)["osd1"] == "drifted", "the first look")
    here.minions["osd1"].kill()
    here.master.stop()
    here.master.start()
    assert standings(here)["osd1"] == "drifted"
    here.master.call("keys.delete", ids=["osd1"])
    again = here.minions["osd1"]
    again.state.rename(again.folder / "before")
    assert again.command("join", here.master.call("keys.token")["token"]).wait(60) == 0
    assert standings(here)["osd1"] is None
