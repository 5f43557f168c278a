"""docs/rendering.md names what there is: every renderer, tag, filter, test, global and function, and nothing else."""

from __future__ import annotations

import re
from pathlib import Path

import jinja2

from master.compiler.filters import TESTS
from master.compiler.functions import Functions
from master.compiler.jinja import PYTHON2, Environment, file_context
from master.compiler.outward import Outward
from master.compiler.reads import Reads
from master.compiler.renderers import ELSEWHERE, RENDERERS
from master.compiler.reported import Guard
from master.compiler.roots import FileRoots
from master.compiler.tags import DataTags
from master.compiler.treefunctions import TreeFunctions

TEXT = (Path(__file__).parents[2] / "docs" / "rendering.md").read_text()


def section(title: str) -> str:
    return TEXT.split(f"## {title}\n", 1)[1].split("\n## ", 1)[0]


def rows(title: str) -> list[list[str]]:
    """The cells of the tables of a section."""
    lines = [line for line in section(title).splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in line.strip("| ").split(" | ")] for line in lines if "---" not in line][1:]


def names(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


def environment() -> Environment:
    return Environment(FileRoots([], "base"), None, Outward(None, Guard(), Reads()))


def test_renderers() -> None:
    assert [names(row[0])[0] for row in rows("Renderers")] == list(RENDERERS)
    refused = section("Renderers").split("not offered:", 1)[1].split("\n\n", 1)[0]
    assert names(refused) == sorted(ELSEWHERE)


def test_names_and_methods() -> None:
    told = [name for row in rows("Names that every template knows") for name in names(row[0])]
    known = {"salt", "grains", "pillar", "opts", "ifelse", "saltenv", "env"}
    assert set(told) == known | file_context("a/b.sls", "a.b").keys()
    assert set(PYTHON2) <= set(names(section("Names that every template knows")))


def test_tags() -> None:
    told = [name for row in rows("Tags") for name in names(row[0])]
    assert set(told) == {*DataTags.tags, "do", "break", "continue"}


def test_filters_tests_and_globals() -> None:
    own = jinja2.Environment()
    there = {name for name, call in environment().filters.items() if own.filters.get(name) is not call}
    told = [name for row in rows("Filters") for name in names(row[1])]
    assert sorted(told) == sorted(set(told))
    assert set(told) == there
    kinds = {row[0]: set(names(row[1])) for row in rows("Tests and globals")}
    assert kinds["tests"] == set(TESTS)
    assert kinds["globals"] == environment().globals.keys() - own.globals.keys()


def test_functions() -> None:
    reads = Reads()
    functions = Functions("m", {}, {}, {}, {}, lambda _message: None, reads)
    there = functions.map(Outward(None, Guard(), reads), TreeFunctions({}, "base").map()).keys()
    told = [f"{names(row[0])[0]}.{name}" for row in rows("Functions answered on the master") for name in names(row[1])]
    assert told == sorted(there)
