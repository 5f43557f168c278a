"""Salt's filters, tests, tags and globals: each template gives what Salt 3008.5 gave (filters.json)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from master.compiler.filters import FILTERS, TESTS
from master.compiler.filters.outside import NAMES
from master.compiler.jinja import Environment
from master.compiler.outward import Outward
from master.compiler.reads import Reads
from master.compiler.reported import Guard
from master.compiler.roots import FileRoots

DATA: dict[str, Any] = json.loads((Path(__file__).parent / "filters.json").read_text())
CASES: list[dict[str, Any]] = DATA["cases"]

SALT_FILTERS: list[str] = DATA["filters"]
"""Every filter that Salt 3008.5 registers, beside Jinja's own."""


def environment() -> Environment:
    guard = Guard()
    return Environment(FileRoots([], "base"), None, Outward(None, guard, Reads()))


@pytest.mark.parametrize("case", CASES, ids=[case["template"][:60] for case in CASES])
def test_a_template_gives_what_salt_gives(case: dict[str, Any]) -> None:
    assert environment().from_string(case["template"]).render() == case["salt"]


def test_every_filter_and_test_of_salt_is_there() -> None:
    known = environment()
    assert set(SALT_FILTERS) - known.filters.keys() == set()
    assert {"list", "match", "equalto"} <= known.tests.keys()
    assert {"raise", "odict", "show_full_context"} <= known.globals.keys()
    assert set(SALT_FILTERS) - {"indent", "method_call"} <= {*FILTERS, *NAMES}
    assert set(TESTS) == {"list", "match", "equalto"}


def test_numbers_with_leading_zeros_are_decimal() -> None:
    text = environment().from_string("{{ 0644 }} {{ 0 }} {{ 00 }} {{ 0.5 }} {{ [010, 0x10, 0o10, 1_000] }}").render()
    assert text == "644 0 0 0.5 [10, 16, 8, 1000]"
