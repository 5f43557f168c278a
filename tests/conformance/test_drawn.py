"""What the commands make of recorded cases is what Salt 3008.5 made of them; and the runner tells when it is not."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.conformance.__main__ import main
from tests.conformance.commands import applied
from tests.conformance.compare import differences, meaning

FOLDER = Path(__file__).parent
CASES: list[dict[str, Any]] = json.loads((FOLDER / "drawn.json").read_text("utf-8"))["cases"]


@pytest.mark.parametrize("case", CASES, ids=lambda case: str(case["id"]))
def test_a_drawn_tree_ends_as_on_salt(case: dict[str, Any]) -> None:
    assert differences(applied(case), case) == []


def test_the_runner_counts_what_matches_and_says_what_differs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    good = next(case for case in CASES if "return" in case)
    tag, result = next(iter(good["return"].items()))
    bad = {**good, "id": "changed", "return": {**good["return"], tag: {**result, "__run_num__": 99}}}
    path = tmp_path / "cases.json"
    path.write_text(json.dumps({"cases": [good, bad]}))
    monkeypatch.setattr(sys, "argv", ["conformance", str(path), str(FOLDER / "targets.json")])
    assert main() == 1
    told = capsys.readouterr().out.splitlines()
    assert told[-2:] == ["1 of 2  cases.json", "150 of 150  targets.json"]
    assert f"changed: run number: {tag}: ours {result['__run_num__']}, Salt's 99" in told


def test_both_ways_of_refusing_are_told() -> None:
    assert differences({"errors": ["no"]}, {"errors": ["Salt's words"]}) == []
    assert [kind for kind, _ in differences({"errors": ["no"]}, {"return": {}})] == ["refused"]
    assert [kind for kind, _ in differences({"return": {}}, {"errors": ["no"]})] == ["ran"]


@pytest.mark.parametrize(
    ("ours", "salts"),
    [
        ("One or more requisite failed: a.b, a.c", "One or more requisite failed: a.c, a.b"),
        ('Command "false" run; its exit status is 1', 'Command "false" run'),
        (
            "onlyif condition is false\nunless condition is true",
            "['onlyif condition is false', 'unless condition is true']",
        ),
    ],
)
def test_comments_are_compared_by_what_they_mean(ours: str, salts: str) -> None:
    assert meaning(ours) == meaning(salts)
    assert meaning(ours) != meaning("Success!")
