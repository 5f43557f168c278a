"""A job's and a run's changes are put back by the command line, first shown, on real minions."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.functional.cli_house import House, house
from tests.unit.state_contract import Entry, snapshot

CONF = """
/etc/app:
  file.directory
/etc/app/app.conf:
  file.managed:
    - contents: 'host = {{ grains["id"] }}'
/etc/motd:
  file.append:
    - text: managed
"""
MORE = """
/etc/app/more:
  file.managed:
    - contents: more
/etc/motd:
  file.append:
    - text: twice
touch:
  cmd.run:
    - name: 'true'
"""
RUN = """
first:
  salt.state:
    - tgt: '*'
    - sls: conf
second:
  salt.state:
    - tgt: osd1
    - sls: more
    - require:
      - salt: first
"""


@pytest.fixture
def here(tmp_path: Path) -> Iterator[House]:
    with house(tmp_path, "osd1", "osd2") as built:
        for name, text in (("conf", CONF), ("more", MORE), ("orch", RUN)):
            built.sls(name, text)
        for minion in ("osd1", "osd2"):
            (built.root(minion) / "etc/motd").write_text("hello\n")
        yield built


def seen(here: House) -> dict[str, dict[str, Entry]]:
    """What the minions have."""
    return {minion: snapshot(here.root(minion)) for minion in ("osd1", "osd2")}


def test_a_job_is_shown_and_then_put_back(here: House) -> None:
    before = seen(here)
    done = here.run("apply", "*", "conf", "-o", "json").json()
    after = seen(here)
    assert after != before
    planned = here.run("jobs", "rollback", done["job"])
    assert planned.code == 0, planned.err
    assert "- /etc/app directory  on osd[1-2]" in planned.out
    assert "-managed" in planned.out
    assert "add --yes" in planned.err
    assert seen(here) == after
    made = here.run("jobs", "rollback", done["job"], "--yes")
    assert made.code == 0, made.out + made.err
    assert seen(here) == before
    again = here.run("jobs", "rollback", done["job"], "--yes", "-o", "json")
    assert again.code == 0
    assert all(step["changes"] == [] for told in again.json()["minions"].values() for step in told["steps"])


def test_a_run_is_put_back_on_all_its_minions_and_what_cannot_be_is_named(here: House) -> None:
    before = seen(here)
    done = here.run("run", "orch", "-o", "json")
    assert done.code == 0, done.out + done.err
    run = done.json()["run"]
    assert (here.root("osd1") / "etc/motd").read_text() == "hello\nmanaged\ntwice\n"
    made = here.run("runs", "rollback", run, "--yes")
    assert made.code == 0, made.out + made.err
    assert seen(here) == before
    assert "osd1: true is not put back: only files" in made.err


def test_what_changed_nothing_or_is_not_there_cannot_be_rolled_back(here: House) -> None:
    done = here.run("plan", "osd1", "conf", "-o", "json").json()
    refused = here.run("jobs", "rollback", done["job"])
    assert refused.code == 2
    assert "changed nothing" in refused.err
    assert here.run("jobs", "rollback", "nothing-here").code == 2
    assert here.run("runs", "rollback", "nothing-here").code == 2


def test_a_minion_that_left_is_refused_by_name(here: House) -> None:
    done = here.run("apply", "*", "conf", "-o", "json").json()
    here.master.call("keys.delete", ids=["osd2"])
    refused = here.run("jobs", "rollback", done["job"], "--yes")
    assert refused.code == 7
    assert "osd2" in refused.err
    assert (here.root("osd1") / "etc/app").exists()
