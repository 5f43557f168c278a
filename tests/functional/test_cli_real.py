"""The command line against a real master and real minions: what a person types, sees, and gets as exit code."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.functional.cli_house import House, house, interrupt, poll

CONF = """
/etc/ceph:
  file.directory
/etc/ceph/ceph.conf:
  file.managed:
    - contents: 'host = {{ grains["id"] }}, fsid = {{ pillar.get("fsid", "none") }}'
    - mode: '0640'
    - require:
      - file: /etc/ceph
/etc/common:
  file.managed:
    - contents: same
"""


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with house(tmp_path_factory.mktemp("cli"), "osd1", "osd2") as built:
        built.sls("conf", CONF)
        built.sls("top", "base:\n  'osd1':\n    - conf\n")
        built.sls("slow", "wait:\n  cmd.run:\n    - name: sleep 50\n")
        yield built


def test_asking_all_minions_folds_what_is_the_same(here: House) -> None:
    ran = here.run("exec", "*", "test.ping")
    assert (ran.code, ran.out) == (0, "osd[1-2]:\n    True\n")


@pytest.mark.parametrize(
    ("words", "minions"),
    [
        (["osd1"], ["osd1"]),
        (["-L", "osd1,osd2"], ["osd1", "osd2"]),
        (["-E", "osd[2-9]"], ["osd2"]),
        (["-G", "id:osd2"], ["osd2"]),
        (["-C", "osd* and not G@id:osd1"], ["osd2"]),
    ],
)
def test_targets_are_written_as_in_salt(here: House, words: list[str], minions: list[str]) -> None:
    told = here.run("exec", *words, "test.echo", "hello", "-o", "json").json()
    assert sorted(told["minions"]) == minions
    assert {one["value"] for one in told["minions"].values()} == {"hello"}


def test_what_is_planned_is_what_is_applied_and_then_nothing(here: House) -> None:
    planned = here.run("plan", "*", "conf", "--exit-code")
    assert planned.code == 3
    assert "+ /etc/common content  on osd[1-2]" in planned.out
    assert "+host = osd1, fsid = none" in planned.out
    assert not (here.root("osd1") / "etc/common").exists()
    plan = here.run("plan", "*", "conf", "-o", "json").json()
    done = here.run("apply", "*", "conf", "-o", "json").json()
    for minion in ("osd1", "osd2"):
        foretold = [[(c["kind"], c["subject"], c["aspect"]) for c in step["changes"]] for step in _steps(plan, minion)]
        made = [[(c["kind"], c["subject"], c["aspect"]) for c in step["changes"]] for step in _steps(done, minion)]
        assert foretold == made
    assert (here.root("osd2") / "etc/ceph/ceph.conf").read_text() == "host = osd2, fsid = none\n"
    again = here.run("apply", "*", "conf")
    assert again.code == 0
    assert "2 minions: 2 unchanged; 6 states" in again.out
    assert here.run("plan", "*", "conf", "--exit-code").code == 0


def _steps(told: dict, minion: str) -> list:  # type: ignore[type-arg]
    return list(told["minions"][minion]["steps"])


def test_the_highstate_is_what_the_top_file_gives(here: House) -> None:
    told = here.run("apply", "osd1", "-o", "json").json()
    assert [step["id"] for step in _steps(told, "osd1")] == ["/etc/ceph", "/etc/ceph/ceph.conf", "/etc/common"]


def test_pillar_for_once(here: House) -> None:
    ran = here.run("plan", "osd1", "conf", "--pillar", '{"fsid": "abc"}')
    assert "+host = osd1, fsid = abc" in ran.out


def test_a_failure_is_4_and_told_first(here: House) -> None:
    here.sls("bad", "broken:\n  cmd.run:\n    - name: 'echo oops; exit 3'\n")
    ran = here.run("apply", "*", "bad")
    assert ran.code == 4
    assert ran.out.startswith("FAILED osd[1-2]  cmd.run echo oops; exit 3  (bad.sls:2)\n")
    shown = here.run("jobs", "show", ran.out.partition("jobs show ")[2].split()[0], "--minion", "osd1")
    assert "oops" in shown.out or "exit status is 3" in shown.out


def test_ctrl_c_leaves_and_the_job_goes_on_until_cancelled(here: House) -> None:
    process = here.begin("apply", "osd1", "slow")
    poll(lambda: here.master.call("status")["jobs_running"], "the job to begin")
    poll(lambda: "running" in json.dumps(here.master.call("jobs.list", limit=1)["jobs"][0]["states"]), "it to run")
    left = interrupt(process)
    assert left.code == 130
    job = left.err.partition("jobs cancel ")[2].split()[0]
    assert here.run("jobs", "cancel", job).code == 0
    watched = here.run("jobs", "watch", job)
    assert watched.code == 1
    assert "CANCELLED osd1" in watched.out


def test_a_limit_that_runs_out_is_124(here: House) -> None:
    ran = here.run("exec", "osd1", "cmd.run", "sleep 30", "--timeout", "1")
    assert ran.code == 124
    assert "TIMED-OUT osd1" in ran.out


def test_a_minion_that_is_away_is_5_and_hears_nothing_of_it_later(here: House, tmp_path: Path) -> None:
    minion = here.minions["osd2"]
    minion.kill()
    poll(lambda: here.run("exec", "osd1", "test.ping").code == 0, "osd1 to answer")
    marker = tmp_path / "marker"
    ran = here.run("exec", "*", "cmd.run", f"touch {marker}-$$", "--answer-within", "1")
    assert ran.code == 5
    assert "LOST osd2" in ran.out
    before = len(list(tmp_path.iterdir()))
    minion.start()
    poll(lambda: here.run("exec", "osd2", "test.ping").code == 0, "osd2 to come back")
    assert len(list(tmp_path.iterdir())) == before == 1


def test_machine_formats_are_pure(here: House) -> None:
    lines = here.run("exec", "*", "test.ping", "-o", "ndjson").out.splitlines()
    assert [json.loads(line)["schema"] for line in lines][-1] == "stackmaster.job/1"
    asked = (
        "status", "keys ls", "keys master", "minions ls", "minions show osd1", "minions pillar osd1", "jobs ls",
        "runs ls", "target show *", "compile --minion osd1 conf",
    )  # fmt: skip
    for line in asked:
        ran = here.run(*line.split(), "-o", "json")
        assert (ran.code, ran.json()["schema"].startswith("stackmaster.")) == (0, True), line


def test_events_can_be_read_from_the_beginning(here: House) -> None:
    ran = here.run("events", "tail", "key/*/accepted", "--since", "0", "--count", "2")
    assert ran.code == 0
    assert len(ran.out.splitlines()) == 2


def test_a_dry_run_without_a_master_touches_nothing(here: House, tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    words = ["--local", "--id", "lone", "--states", str(here.master.states), "--root", str(tmp_path), "conf"]
    assert here.run("plan", *words, "--exit-code").code == 3
    assert not (tmp_path / "etc/common").exists()
    told = here.run("apply", *words, "-o", "json").json()
    assert told["minions"]["lone"]["state"] == "succeeded"
    assert (tmp_path / "etc/ceph/ceph.conf").read_text() == "host = lone, fsid = none\n"
    assert here.run("apply", *words).out.startswith("1 minion: 1 unchanged")
