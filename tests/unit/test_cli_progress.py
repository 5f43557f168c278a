"""The pure models behind the screen: progress from events, live lines, plans and summaries."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from master.cli import changes, live, summary
from master.cli.client import Event, event_from
from master.cli.progress import Job, Notice, Progress, Run
from tests.unit.fake_cli_master import JOB, event, job_events, step

RUN = "00000001700000000000-00beef"


def fed(*lines: dict[str, Any]) -> tuple[Progress, list[Notice]]:
    progress = Progress()
    notices: list[Notice] = []
    for line in lines:
        if "event" in line:
            notices += progress.feed(event_from(line["event"]))
    return progress, notices


def change(kind: str, subject: str, **more: Any) -> dict[str, Any]:
    return {"kind": kind, "subject": subject, "aspect": "", "old": None, "new": None, "diff": "", **more}


def texts(lines: list[tuple[str, Any]]) -> str:
    return "\n".join(text for text, _ in lines)


def test_a_minion_goes_from_pending_to_its_end() -> None:
    progress, _ = fed(
        event(f"job/{JOB}/new", kind="apply", sls=["a"], target="*", minions=["osd1"]),
        event(f"job/{JOB}/minion/osd1/step/started", 105.0, index=2, total=8, function="pkg.installed", name="ceph"),
    )
    minion = progress.jobs[JOB].minions["osd1"]
    assert (minion.state, minion.index, minion.total, minion.step) == ("running", 2, 8, "pkg.installed ceph")
    progress.feed(Event(f"job/{JOB}/minion/osd1/state", {"state": "failed", "reason": "x"}, 106.0))
    assert minion.terminal and minion.step == ""


def test_only_what_matters_is_worth_a_line() -> None:
    steps = [
        step("file.managed", "/a"),
        step("file.managed", "/b", changes=[change("create", "/b")]),
        step("service.running", "x", False, comment="Unit x failed\nmore"),
    ]
    _, notices = fed(*job_events({"osd1": {"state": "failed", "steps": steps}}, kind="apply"))
    told = [notice.text for notice in notices if not notice.routine]
    assert told == [
        "2/3 file.managed /b changed (0.1 s)",
        "3/3 service.running x FAILED: Unit x failed (0.1 s)",
        "failed",
    ]


def test_live_lines_fit_and_pin_failures() -> None:
    lines = [event(f"job/{JOB}/new", 100.0, kind="apply", sls=["a"], target="*", minions=[f"m{n}" for n in range(50)])]
    for number in range(40):
        lines.append(
            event(f"job/{JOB}/minion/m{number}/step/started", 101.0, index=0, total=3, function="f.g", name=str(number))
        )
    lines.append(event(f"job/{JOB}/minion/m7/step/ended", 102.0, index=0, result=step("f.g", "7", False, comment="no")))
    progress, _ = fed(*lines)
    drawn = live.lines(progress, 110.0, 12)
    assert len(drawn) == 12
    assert "0/50 done, 40 running, 10 waiting" in drawn[0][0]
    assert drawn[1] == ("  ✗ m7  f.g 7: no", "bad")
    assert "m0  1/3 f.g 0 (9.0 s)" in drawn[2][0]
    assert "more" in drawn[-1][0]


@given(st.integers(1, 60), st.integers(0, 30), st.integers(0, 30))
def test_live_lines_never_exceed_the_height(height: int, active: int, failed: int) -> None:
    progress = Progress({JOB: Job(JOB)})
    for number in range(active):
        progress.jobs[JOB].minion(f"a{number}").state = "running"
    for number in range(failed):
        progress.jobs[JOB].minion(f"f{number}").state = "failed"
    assert 1 <= len(live.lines(progress, 0.0, height)) <= height


def test_identical_changes_are_told_once_with_all_their_minions() -> None:
    same = change("change", "/c", aspect="content", diff="--- a\n+++ b\n-x\n+y\n")
    own = change("create", "/own", aspect="mode", old=None, new="0640")
    minions = {
        "osd1": {"state": "succeeded", "steps": [step("file.managed", "/c", changes=[same])]},
        "osd2": {"state": "succeeded", "steps": [step("file.managed", "/c", changes=[same, own])]},
    }
    progress, _ = fed(*job_events(minions, kind="apply", test=True))
    told = texts(summary.of_job(progress.jobs[JOB]))
    assert told.splitlines() == [
        "file.managed /c  (s.sls:3)",
        "  ~ /c content  on osd[1-2]",
        "      --- a",
        "      +++ b",
        "      -x",
        "      +y",
        "  + /own mode: 0640  on osd2",
        "Plan: 1 create, 2 change, 0 remove, 0 restart, 0 run on 2 of 2 minions.",
    ]


def test_what_cannot_be_foretold_is_said_to_be_unknown() -> None:
    steps = [step("cmd.run", "x", None, comment="depends on an earlier step")]
    progress, _ = fed(*job_events({"osd1": {"state": "succeeded", "steps": steps}}, kind="apply", test=True))
    told = texts(summary.of_job(progress.jobs[JOB]))
    assert "? depends on an earlier step  on osd1" in told
    assert "1 not known until applied" in told


def test_a_plan_without_changes_says_so() -> None:
    steps = [step("file.managed", "/a")]
    progress, _ = fed(*job_events({"osd1": {"state": "succeeded", "steps": steps}}, kind="apply", test=True))
    assert texts(summary.of_job(progress.jobs[JOB])) == "Plan: nothing to change on 1 minion."


def test_old_and_new_values_are_shown_short() -> None:
    assert changes.values("0644", "0640") == "0644 → 0640"
    assert changes.values(None, "a\nb") == "a⏎b"
    assert changes.values("x", None) == "x → nothing"
    assert len(changes.values(None, "x" * 500)) == 120


def test_a_summary_begins_with_failures_and_counts_the_unchanged() -> None:
    bad = step("service.running", "osd@2", False, comment="Unit failed\nsee journal")
    because = step("cmd.run", "after", False, comment="One or more requisite failed", ran=False)
    minions: dict[str, dict[str, Any]] = {
        "osd1": {"state": "succeeded", "steps": [step("file.managed", "/a")]},
        "osd2": {"state": "failed", "steps": [bad, because]},
        "osd3": {"state": "lost", "reason": "it was not connected"},
        "osd4": {"state": "succeeded", "steps": [step("file.managed", "/a", changes=[change("create", "/a")])]},
    }
    progress, _ = fed(*job_events(minions, kind="apply"))
    told = texts(summary.of_job(progress.jobs[JOB])).splitlines()
    assert told[0] == "FAILED osd2  service.running osd@2  (s.sls:3)"
    assert told[1:4] == ["    Unit failed", "    see journal", "    next: stackmaster jobs show 3fa2bc --minion osd2"]
    assert "LOST osd3  it was not connected" in told
    assert "One or more requisite failed" not in "\n".join(told)
    assert told[-1].startswith("4 minions: 1 failed, 1 lost, 1 changed, 1 unchanged; 4 states")


def test_the_slowest_steps_are_named() -> None:
    steps = [step("pkg.installed", "ceph", duration=12.0), step("file.managed", "/a", duration=0.2)]
    progress, _ = fed(*job_events({"osd1": {"state": "succeeded", "steps": steps}}, kind="apply"))
    assert "Slowest: pkg.installed ceph 12 s on osd1" in texts(summary.of_job(progress.jobs[JOB]))


def run_lines() -> list[dict[str, Any]]:
    steps = [
        {"id": "prepare", "function": "salt.state", "require": []},
        {"id": "gate", "function": "gate.until", "require": ["prepare"]},
        {"id": "rest", "function": "salt.state", "require": ["gate"]},
    ]
    return [
        event(f"run/{RUN}/new", 100.0, sls=["deploy"], test=False, steps=steps),
        event(f"run/{RUN}/step/prepare/started", 100.0, function="salt.state", job=JOB),
        *[line for line in job_events({"osd1": {"state": "succeeded"}}, kind="apply") if "event" in line],
        event(
            f"run/{RUN}/step/prepare/ended", 104.0, result=True, comment="1 of 1 succeeded", job=JOB, ran=True,
            minions={"osd1": {"state": "succeeded", "changed": 2}}, duration=4.0,
        ),
        event(f"run/{RUN}/step/gate/started", 104.0, function="gate.until"),
        event(f"run/{RUN}/step/gate/waiting", 105.0, reason="mon1: quorum_size is 2, wanted >= 3"),
    ]  # fmt: skip


def test_a_run_shows_why_it_waits() -> None:
    progress, notices = fed(*run_lines())
    drawn = texts(live.lines(progress, 116.0, 20))
    assert "run deploy [00beef]  1/3 steps" in drawn
    assert "▸ gate (12 s)  waits: mon1: quorum_size is 2, wanted >= 3" in drawn
    assert ("gate", "waits: mon1: quorum_size is 2, wanted >= 3") in [(n.subject, n.text) for n in notices]


def test_the_samples_of_a_gate_leave_nothing_behind() -> None:
    sample = job_events({"mon1": {"state": "failed", "reason": "x"}}, cause=f"{RUN}/gate/7")
    progress, notices = fed(*run_lines(), *sample[:-2])
    before = len(run_lines())
    assert "mon1" not in texts([line for line in live.lines(progress, 116.0, 20) if "waits" not in line[0]])
    assert [notice.subject for notice in notices[before:]] == []
    progress.feed(event_from(sample[-2]["event"]))
    assert list(progress.jobs) == []


def test_a_failed_run_says_which_step_why_and_what_was_not_reached() -> None:
    progress, _ = fed(
        *run_lines(),
        event(f"run/{RUN}/step/gate/ended", 140.0, result=False, comment="waited 30 s", ran=True, duration=36.0),
        event(f"run/{RUN}/step/rest/ended", 140.0, result=False, comment="requisite failed: gate", ran=False),
        event(f"run/{RUN}/ended", 141.0, state="failed"),
    )
    assert isinstance(progress.run, Run)
    told = texts(summary.of_run(progress, progress.run))
    assert told.startswith("FAILED step gate  gate.until\n    waited 30 s")
    assert "✓ prepare  salt.state on osd1, 1 changed  4.0 s" in told
    assert f"run {RUN} failed in 41 s: 1 succeeded, 1 failed, 1 blocked" in told
    assert "next: stackmaster runs show 00beef" in told


def test_events_of_other_kinds_change_nothing() -> None:
    progress, notices = fed(event("minion/osd1/connected"), event("key/x/pending"), event("job/x"))
    assert (progress.jobs, progress.run, notices) == ({}, None, [])


@given(
    st.lists(
        st.tuples(
            st.sampled_from(
                ["new", "ended", "minion/a/state", "minion/a/step/started", "minion/a/step/ended", "minion", "x/y/z"]
            ),
            st.dictionaries(st.sampled_from(["state", "minions", "index", "result", "states"]), st.none(), max_size=3),
        ),
        max_size=8,
    )
)
def test_no_event_with_missing_data_breaks_the_model(told: list[tuple[str, dict[str, Any]]]) -> None:
    progress = Progress()
    for tag, data in told:
        progress.feed(Event(f"job/j/{tag}", data, 1.0))
    live.lines(progress, 2.0, 10)
    for job in progress.jobs.values():
        summary.of_apply(job)
        summary.of_call(job)


def test_spans_of_time_for_the_eye() -> None:
    assert [live.span(seconds) for seconds in (0.44, 12, 185, 7620)] == ["0.4 s", "12 s", "3 m 05 s", "2 h 07 m"]
