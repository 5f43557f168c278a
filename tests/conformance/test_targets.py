"""Targets mean whom they mean on Salt 3008.5: 150 expressions on nine minions."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from protocol.target import Subject, parse

DATA: dict[str, Any] = json.loads((Path(__file__).parent / "targets.json").read_text("utf-8"))
SUBJECTS = [Subject(minion["id"], minion["grains"], minion["pillar"]) for minion in DATA["minions"]]


def test_all_cases_are_there() -> None:
    assert len(DATA["cases"]) == 150
    assert len(SUBJECTS) == 9


@pytest.mark.parametrize("case", DATA["cases"], ids=lambda case: f"{case['matcher']}-{case['tgt']}")
def test_a_target_means_whom_it_means_on_salt(case: dict[str, Any]) -> None:
    expression = tuple(case["tgt"]) if case["tgt_type"] == "tuple" else case["tgt"]
    target = parse(expression, case["matcher"], DATA["nodegroups"])
    assert sorted(subject.id for subject in SUBJECTS if target.matches(subject)) == sorted(case["matches"])
    for subject in SUBJECTS:
        assert all(reason.why for reason in target.explain(subject))
