"""Forms of declaration, include, extend, exclude, use and order compile to the low chunks that Salt 3008.5 makes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.conformance.commands import compiled

CASES: list[dict[str, Any]] = json.loads((Path(__file__).parent / "structure.json").read_text("utf-8"))["cases"]


@pytest.mark.parametrize("case", CASES, ids=lambda case: str(case["id"]))
def test_low_chunks_are_salts(case: dict[str, Any]) -> None:
    found = compiled(case["files"], "main")
    if "errors" in case:
        assert found["errors"]
        assert all(error["file"] in case["files"] and error["line"] for error in found["errors"])
    else:
        assert found["errors"] == []
        assert found["applied"] == case["low"]
