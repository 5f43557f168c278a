"""Orchestrations on a real master and real minions: order, outputs, gates, dry runs, cancelling, a killed master."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.functional.cli_house import House, house, poll

WRITE = """
/etc/run:
  file.managed:
    - contents: '{{ pillar.get("word", "none") }}'
"""

DEPLOY = """
word:
  salt.function:
    - name: test.echo
    - tgt: osd1
    - kwarg: {text: {word: given, n: 3}}
write:
  salt.state:
    - tgt: 'osd*'
    - sls: write
    - batch: 1
    - pillar:
        word: ${steps.word.*.word}
    - require:
      - salt: word
held:
  gate.until:
    - tgt: osd1
    - function: test.echo
    - kwarg: {text: {n: 3}}
    - condition: n >= 3
    - samples: 2
    - interval: 0.1
    - require:
      - salt: write
"""


@pytest.fixture
def here(tmp_path: Path) -> Iterator[House]:
    with house(tmp_path, "osd1", "osd2") as built:
        built.sls("write", WRITE)
        built.sls("orch.deploy", DEPLOY)
        yield built


def test_a_run_does_its_steps_in_order_and_uses_what_they_gave(here: House) -> None:
    dry = here.run("run", "orch.deploy", "--dry-run")
    assert dry.code == 0
    assert "+given" in dry.out
    assert "would wait until n >= 3" in dry.out
    assert not (here.root("osd1") / "etc/run").exists()
    ran = here.run("run", "orch.deploy", "-o", "json")
    told = ran.json()
    assert (ran.code, told["state"]) == (0, "succeeded")
    assert [(step["id"], step["state"]) for step in told["steps"]] == [
        ("word", "succeeded"), ("write", "succeeded"), ("held", "succeeded"),
    ]  # fmt: skip
    for minion in ("osd1", "osd2"):
        assert (here.root(minion) / "etc/run").read_text() == "given\n"
    shown = here.run("runs", "show", told["run"][-6:])
    assert "✓ held  gate.until" in shown.out
    assert told["run"] in here.run("runs", "ls").out


def test_a_failed_step_says_which_minion_and_stops_what_needs_it(here: House) -> None:
    here.sls("bad", 'broken:\n  cmd.run:\n    - name: \'exit {{ 3 if grains["id"] == "osd2" else 0 }}\'\n')
    here.sls(
        "orch.bad",
        "first:\n  salt.state:\n    - tgt: 'osd*'\n    - sls: bad\n"
        "then:\n  salt.state:\n    - tgt: 'osd*'\n    - sls: write\n    - require:\n      - salt: first\n"
        "beside:\n  salt.function:\n    - name: test.ping\n    - tgt: osd1\n",
    )
    ran = here.run("run", "orch.bad")
    assert ran.code == 4
    assert ran.out.startswith("FAILED step first")
    assert "Run failed on minions: osd2" in ran.out
    assert "FAILED osd2  cmd.run exit 3" in ran.out
    assert "✓ beside" in ran.out
    assert not (here.root("osd1") / "etc/run").exists()


def test_a_gate_that_never_holds_says_what_it_saw(here: House) -> None:
    here.sls(
        "orch.gate",
        "gate:\n  gate.until:\n    - tgt: osd1\n    - function: test.echo\n    - kwarg: {text: {health: HEALTH_WARN}}\n"
        '    - condition: health == "HEALTH_OK"\n    - interval: 0.2\n    - timeout: 1\n',
    )
    ran = here.run("run", "orch.gate")
    assert ran.code == 4
    assert "waited 1 s for health" in ran.out
    assert "HEALTH_WARN" in ran.out
    assert "waits: osd1:" in ran.err


def test_a_run_is_cancelled_with_its_jobs(here: House) -> None:
    here.sls("slow", "wait:\n  cmd.run:\n    - name: sleep 50\n")
    here.sls("orch.slow", "slow:\n  salt.state:\n    - tgt: osd1\n    - sls: slow\nafter:\n  salt.state:\n"
             "    - tgt: osd1\n    - sls: write\n")  # fmt: skip
    run = here.run("run", "orch.slow", "--detach").out.strip()
    poll(lambda: here.master.call("status")["jobs_running"], "the job to begin")
    assert here.run("runs", "cancel", run[-6:]).code == 0
    watched = here.run("runs", "watch", run[-6:])
    assert watched.code == 1
    assert "cancelled" in watched.out
    assert here.master.call("status")["jobs_running"] == 0


def test_a_run_goes_on_after_its_master_was_killed(here: House, tmp_path: Path) -> None:
    go = tmp_path / "go"
    here.sls("hold", f"hold:\n  cmd.run:\n    - name: 'while ! test -e {go}; do sleep 0.1; done; echo x >> {go}'\n")
    here.sls(
        "orch.crash",
        "hold:\n  salt.state:\n    - tgt: osd1\n    - sls: hold\n"
        "write:\n  salt.state:\n    - tgt: 'osd*'\n    - sls: write\n    - require:\n      - salt: hold\n",
    )
    run = here.run("run", "orch.crash", "--detach").out.strip()
    poll(lambda: here.master.events("job/*/minion/osd1/step/started"), "the step to begin on the minion")
    here.master.kill()
    go.write_text("")
    here.master.start()
    watched = here.run("runs", "watch", run)
    assert watched.code == 0, watched.out + here.master.logged()
    assert (here.root("osd2") / "etc/run").read_text() == "none\n"
    assert go.read_text() == "x\n", "the step ran once"
    assert len(here.master.events("job/*/new")) == 2
    assert here.master.tags().count(f"run/{run}/ended") == 1
