"""Packages of several states in one transaction: which states take part, and what the first is given."""

from __future__ import annotations

from pathlib import Path

import pytest

from master.compiler.aggregate import aggregated
from protocol.assignment import Chunk, Requisite
from protocol.data import Data
from protocol.requisites import arrange
from tests.unit.compiler_tree import compiled


def pkg(
    name: str, *needs: Requisite, fun: str = "installed", args: dict[str, Data] | None = None, **options: Data
) -> Chunk:
    return Chunk(
        "pkg", fun, name, name, "main", args=args or {}, options={"aggregate": True, **options}, requisites=needs
    )


def together(*chunks: Chunk, usual: bool = False) -> dict[str, list[Data]]:
    """The packages of each chunk that has a list of them."""
    arranged = arrange(chunks, [float(number) for number in range(len(chunks))])
    found: dict[str, list[Data]] = {}
    for chunk in aggregated(arranged, usual=usual):
        listed = chunk.args.get("pkgs")
        if isinstance(listed, list):
            found[chunk.id] = listed
    return found


def test_the_first_installs_all_that_wait_for_nothing_later() -> None:
    assert together(pkg("a"), pkg("b"), pkg("c", args={"pkgs": ["d", "b"]})) == {
        "a": ["a", "b", "d"],
        "c": ["d", "b"],
    }


def test_versions_go_along() -> None:
    assert together(pkg("a", args={"version": "1"}), pkg("b", args={"version": "2"})) == {"a": [{"a": "1"}, {"b": "2"}]}


def test_what_waits_for_the_first_or_for_something_between_stays_apart() -> None:
    repo = Chunk("pkgrepo", "managed", "repo", "repo", "main")
    assert together(pkg("a"), pkg("b", Requisite("require", (0,)))) == {}
    assert together(pkg("a"), repo, pkg("b", Requisite("require", (1,))), pkg("c", Requisite("require", (1,)))) == {
        "b": ["b", "c"]
    }
    assert together(repo, pkg("a", Requisite("require", (0,))), pkg("b", Requisite("require", (0,)))) == {
        "a": ["a", "b"]
    }


@pytest.mark.parametrize(
    "other",
    [
        pkg("b", aggregate=False),
        pkg("b", fun="latest"),
        pkg("b", args={"fromrepo": "backports"}),
        pkg("b", args={"sources": [{"b": "salt://b.deb"}]}),
        pkg("b", unless="true"),
        pkg("b", onlyif="true"),
        pkg("b", Requisite("onchanges", (0,))),
        pkg("b", Requisite("require", (), ("pkg: x",))),
    ],
)
def test_what_may_not_run_or_asks_for_something_else_stays_apart(other: Chunk) -> None:
    assert together(pkg("a"), other) == {}


def test_the_setting_makes_it_usual_and_a_state_may_refuse() -> None:
    first, second = (Chunk("pkg", "installed", name, name, "main") for name in "ab")
    assert together(first, second) == {}
    assert together(first, second, usual=True) == {"a": ["a", "b"]}
    assert together(first, pkg("c", aggregate=False), second, usual=True) == {"a": ["a", "b"]}


def test_a_tree_asks_for_it_by_the_option(tmp_path: Path) -> None:
    text = (
        "a:\n  pkg.installed:\n    - aggregate: true\nb:\n  pkg.installed:\n    - aggregate: true\nc: pkg.installed\n"
    )
    chunks = compiled(tmp_path, text).assignment.chunks
    assert [(chunk.name, chunk.args.get("pkgs")) for chunk in chunks] == [("a", ["a", "b"]), ("b", None), ("c", None)]
