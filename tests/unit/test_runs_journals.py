"""Journals of real runs, replayed: the engine of today takes the decisions that were taken then.

They were recorded by `python -m tests.functional.record_journals`; with `--decisions` it only writes anew what is
decided, when that was changed on purpose.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from master.jobs import JobOutcome
from master.runs.replay import replay
from protocol.names import JobId
from tests.unit.runs_recorded import FOLDER, decisions, engine_of, load, outcome_of

RECORDED = sorted(FOLDER.glob("*.json"))
EXPECTED = {"asked", "deployed", "mended", "stopped"}


def test_all_journals_are_there() -> None:
    assert {path.stem for path in RECORDED} == EXPECTED


@pytest.mark.parametrize("path", RECORDED, ids=lambda path: path.stem)
def test_the_same_events_lead_to_the_same_decisions(path: Path) -> None:
    recorded = load(path)
    kinds = ["begin", *(entry["kind"] for entry in recorded["events"])]
    taken = list(decisions(recorded))
    assert len(taken) == len(recorded["decisions"])
    for at, (now, then) in enumerate(zip(taken, recorded["decisions"], strict=True)):
        assert now == then, f"another decision after event {at} ({kinds[at]})"


@pytest.mark.parametrize("path", RECORDED, ids=lambda path: path.stem)
def test_a_replay_ends_where_the_run_did_and_leaves_nothing_open(path: Path) -> None:
    recorded = load(path)
    engine = engine_of(recorded)

    async def outcome(job: JobId) -> JobOutcome:
        return outcome_of(recorded, job)

    entries: list[Any] = [{"what": "assignment", "now": recorded["began"]}, *recorded["events"]]
    open = asyncio.run(replay(engine, entries, outcome))
    assert engine.state == recorded["state"]
    assert open.effects == {}


@pytest.mark.parametrize("path", RECORDED, ids=lambda path: path.stem)
def test_a_journal_cut_anywhere_leads_to_what_was_asked_for_then(path: Path) -> None:
    recorded = load(path)
    asked = {
        (tuple(effect["key"]), effect["request"]["cause"])
        for decided in recorded["decisions"]
        for effect in decided
        if effect["effect"] == "StartJob"
    }

    async def outcome(job: JobId) -> JobOutcome:
        return outcome_of(recorded, job)

    for cut in range(len(recorded["events"])):
        entries: list[Any] = [{"what": "assignment", "now": recorded["began"]}, *recorded["events"][:cut]]
        open = asyncio.run(replay(engine_of(recorded), entries, outcome))
        for key, effect in open.effects.items():
            if hasattr(effect, "request"):
                assert (tuple(key), effect.request.cause) in asked
