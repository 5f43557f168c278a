"""When minions are looked at for drift, what is news, and what is refused as a setting."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from master.driftrules import MOST_TOLD, DriftRule, Found, bounded, differs, due, rule_of, turn
from master.store import driftrows, schema
from master.store.driftrows import DriftRow
from protocol.data import Data
from protocol.errors import ConfigError, StoreError

TIMES = st.floats(0, 4e9)
MINIONS = st.from_regex(r"[a-z]{1,8}[0-9]{0,4}", fullmatch=True)
RULES = st.builds(
    lambda interval, part: DriftRule(interval, interval * part, 60.0, "*", "compound", (), "base"),
    st.floats(1, 1e6), st.floats(0, 1),
)  # fmt: skip
STEP: Mapping[str, Data] = {"tag": "t", "changes": [{"kind": "change", "diff": "x", "old": 1, "new": 2}]}


def rule(**given: Any) -> DriftRule:
    """A rule of every hour."""
    found = rule_of({"interval": "1h", **given})
    assert found is not None
    return found


@given(RULES, MINIONS, TIMES)
def test_a_turn_is_over_and_the_next_one_is_to_come(given: DriftRule, minion: str, now: float) -> None:
    at = turn(given, minion, now)
    slack = 1e-6 * max(now, given.interval)
    assert now - given.interval - slack <= at <= now + slack
    assert abs(turn(given, minion, at + given.interval * 1.5) - at - given.interval) <= given.interval * 1e-3 + slack


@given(st.lists(MINIONS, unique=True, max_size=20), TIMES)
def test_who_was_looked_at_is_not_due_before_the_next_turn(minions: list[str], now: float) -> None:
    every = rule()
    looked = dict.fromkeys(minions, now)
    assert due(every, minions, looked, 0.0, now) == []
    assert sorted(due(every, minions, looked, 0.0, now + 3600.5)) == sorted(minions)


def test_a_fleet_is_spread_over_the_interval() -> None:
    every = rule()
    minions = [f"osd{number}" for number in range(6000)]
    minutes = [int((turn(every, minion, 1e9) - 1e9) // 60) for minion in minions]
    counts = [minutes.count(minute) for minute in set(minutes)]
    assert len(counts) >= 60
    assert max(counts) < 160
    tight = rule(jitter="5m")
    places = [turn(tight, minion, 1e9) % 3600 for minion in minions]
    assert max(places) <= 300


def test_after_a_start_nobody_is_due_at_once_and_everybody_within_an_interval() -> None:
    every = rule()
    minions = [f"osd{number}" for number in range(100)]
    assert due(every, minions, {}, 1e9, 1e9) == []
    assert sorted(due(every, minions, {}, 1e9, 1e9 + 3601)) == sorted(minions)


def test_who_is_overdue_longest_comes_first() -> None:
    every = rule()
    order = due(every, ["osd1", "osd2", "osd3"], {}, 0.0, 1e9)
    assert [turn(every, minion, 1e9) for minion in order] == sorted(turn(every, minion, 1e9) for minion in order)


def test_what_is_news() -> None:
    clean, drifted, other = Found("clean"), Found("drifted", "", [STEP]), Found("drifted", "", [{**STEP, "tag": "u"}])
    assert [differs(None, found) for found in (clean, drifted, Found("failed"))] == [False, True, True]
    assert not differs(drifted, Found("drifted", "", [dict(STEP)]))
    assert differs(drifted, other)
    assert differs(drifted, clean)
    assert differs(clean, drifted)
    assert not differs(Found("failed", "one reason"), Found("failed", "another reason"))
    assert drifted.changes == 1


def test_a_finding_too_long_loses_its_diffs_and_not_its_steps() -> None:
    long: Mapping[str, Data] = {**STEP, "changes": [{"kind": "change", "diff": "x" * MOST_TOLD, "old": 1, "new": 2}]}
    kept = bounded(Found("drifted", "", [long]))
    assert kept.steps == [{"tag": "t", "changes": [{"kind": "change", "diff": "", "old": None, "new": None}]}]
    assert bounded(Found("drifted", "", [STEP])).steps == [STEP]


@pytest.mark.parametrize(
    "wrong",
    [
        {"intervall": "1h"},
        {"target": "*"},
        {"interval": "soon"},
        {"interval": "0s"},
        {"interval": "1m", "jitter": "2m"},
        {"interval": "1m", "timeout": "0"},
        {"interval": "1m", "sls": [1.5, {}]},
        {"interval": ["1m"]},
    ],
)  # fmt: skip
def test_wrong_settings_are_refused(wrong: Mapping[str, Any]) -> None:
    with pytest.raises(ConfigError):
        rule_of(wrong)


def test_what_settings_mean() -> None:
    assert rule_of({}) is None
    assert rule(interval=1800) == DriftRule(1800.0, 1800.0, 600.0, "*", "compound", (), "base")
    assert rule(interval="30m", jitter="0s", sls=["a"]).jitter == 0.0


def test_a_database_of_the_first_version_learns_of_drift(tmp_path: Path) -> None:
    path = tmp_path / "db"
    with sqlite3.connect(path) as old:
        schema.prepare(old, str(path))
        old.executescript("DROP TABLE drift; PRAGMA user_version = 1;")
        old.execute("INSERT INTO meta (key, value) VALUES ('kept', 5)")
    with sqlite3.connect(path) as now:
        schema.prepare(now, str(path))
        row = DriftRow(Found("drifted", "", [dict(STEP)]), 2.0, 1.0, "job")
        driftrows.save(now, "osd1", row)
        assert driftrows.all_rows(now) == {"osd1": row}
        assert now.execute("SELECT value FROM meta WHERE key = 'kept'").fetchone() == (5,)
        assert now.execute("PRAGMA user_version").fetchone() == (schema.VERSION,)
        now.execute(f"PRAGMA user_version = {schema.VERSION + 1}")
        with pytest.raises(StoreError, match="version"):
            schema.prepare(now, str(path))
    old.close()
    now.close()
