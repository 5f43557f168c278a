"""Top files over several environments: whose top file speaks, what includes add, what a strategy makes of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from master.compiler.compile import Request, Roots, compile_assignment, compile_pillar
from master.compiler.request import CompilerOptions
from master.compiler.treecheck import check_trees
from master.compiler.trees import TreeOptions
from protocol.errors import ConfigError, SlsError
from protocol.secrets import reveal
from tests.unit.compiler_tree import write

STATE = "{0}-{1}:\n  test.nop: []\n"


def _request(tmp_path: Path, tops: dict[str, str], trees: TreeOptions | None = None, **more: Any) -> Request:
    """A request over the environments of `tops`, each with the SLS a, b and c that declare `<environment>-<sls>`."""
    states = {}
    for environment, top in tops.items():
        files = {f"{name}.sls": STATE.format(environment, name) for name in "abc"}
        folder = write(tmp_path / environment, {**files, **({"top.sls": top} if top else {})})
        states[environment] = (folder,)
    roots = Roots(states, {}, formulas=False)
    return Request("m1", {"os": "Debian"}, roots, options=CompilerOptions(trees=trees or TreeOptions()), **more)


def _ids(request: Request) -> list[str]:
    return [chunk.id for chunk in compile_assignment(request).assignment.chunks]


TOPS = {
    "base": "base:\n  '*': [a]\nqa:\n  '*': [a]\n",
    "dev": "base:\n  '*': [c]\ndev:\n  '*': [b]\n",
    "qa": "qa:\n  '*': [c]\n",
}


@pytest.mark.parametrize(
    ("trees", "ids"),
    [
        (TreeOptions(), ["base-a", "qa-a", "dev-b"]),
        (TreeOptions(top_file_merging_strategy="same"), ["base-a", "dev-b", "qa-c"]),
        (TreeOptions(top_file_merging_strategy="merge_all"), ["base-a", "base-c", "qa-a", "qa-c", "dev-b"]),
        (TreeOptions(env_order=("qa", "dev")), ["qa-c", "dev-b"]),
        (TreeOptions(state_top_saltenv="dev", top_file_merging_strategy="merge_all"), ["base-c", "dev-b"]),
        (TreeOptions(state_top_saltenv="dev"), ["dev-b"]),
    ],
)
def test_strategies_say_whose_top_file_speaks(tmp_path: Path, trees: TreeOptions, ids: list[str]) -> None:
    assert _ids(_request(tmp_path, TOPS, trees)) == ids


def test_under_same_the_default_top_speaks_for_who_has_none(tmp_path: Path) -> None:
    tops = {"base": "base:\n  '*': [a]\ndev:\n  '*': [c]\n", "dev": ""}
    assert _ids(_request(tmp_path, tops, TreeOptions(top_file_merging_strategy="same"))) == ["base-a", "dev-c"]
    other = TreeOptions(top_file_merging_strategy="same", default_top="qa")
    assert _ids(_request(tmp_path, {**tops, "qa": "dev:\n  '*': [b]\n"}, other)) == ["base-a", "dev-b"]


def test_an_environment_that_is_asked_for_alone_has_its_own_top_file(tmp_path: Path) -> None:
    assert _ids(_request(tmp_path, TOPS, environment="dev")) == ["dev-b"]


def test_top_files_include_others_and_expand_globs(tmp_path: Path) -> None:
    request = _request(tmp_path, {"base": "include: [tops.*]\nbase:\n  '*': [a]\n", "dev": ""})
    write(
        tmp_path / "base",
        {
            "tops/one.sls": "include: [tops/one]\nbase:\n  'm*':\n    - '[bc]'\n",
            "tops/two.sls": "base:\n  'E@m[0-9]':\n    - dev: a\n  'x*': [gone]\n",
        },
    )
    assert _ids(request) == ["base-a", "base-b", "base-c", "dev-a"]


def test_every_matcher_can_be_named(tmp_path: Path) -> None:
    targets = {
        "glob": "m*", "pcre": "m[0-9]", "list": "x,m1", "grain": "os:Deb*", "grain_pcre": "os:D.*n$",
        "ipcidr": "10.0.0.0/8", "compound": "m1 and G@os:Debian", "nodegroup": "mine", "pillar": "a:b",
        "pillar_pcre": "a:.", "pillar_exact": "a:b",
    }  # fmt: skip
    for kind, target in targets.items():
        top = f"base:\n  '{target}':\n    - match: {kind}\n    - a\n"
        request = Request(
            "m1",
            {"os": "Debian", "ipv4": ["10.1.1.1"]},
            Roots({"base": (write(tmp_path / kind, {"top.sls": top, "a.sls": STATE.format(kind, "a")}),)}),
            pillar_override={"a": "b"},
            nodegroups={"mine": ["m1"]},
        )
        assert _ids(request) == [f"{kind}-a"]


@pytest.mark.parametrize(
    ("top", "message"),
    [
        ("base:\n  '*': [gone*]\n", r"top.sls:2: there is no SLS 'gone\*'"),
        ("bse:\n  '*': [a]\n", r"top.sls:1: the top file names the environment 'bse', which does not exist"),
        ("base:\n  '*':\n    - match: globe\n    - a\n", r"top.sls:2: .* unknown 'match': 'globe'"),
        ("base:\n  'a and and': [a]\n", r"top.sls:2: the target 'a and and' cannot be read"),
        ("include: [5]\nbase:\n  '*': [a]\n", r"top.sls:1: 5 in 'include' of a top file is no SLS name"),
        ("include: [gone]\nbase:\n  '*': [a]\n", r"top.sls:1: there is no top file 'gone' to include"),
        ("base: [a]\n", r"top.sls:1: 'base' in the top file must be a mapping of targets"),
        ("base:\n  '*': {a: b}\n", r"top.sls:2: the target '\*' must have a list of SLS names"),
        ("base:\n  '*': [[a]]\n", r"top.sls:2: \['a'\] in the top file is no SLS name"),
    ],
)
def test_mistakes_have_a_place(tmp_path: Path, top: str, message: str) -> None:
    with pytest.raises(SlsError, match=message):
        _ids(_request(tmp_path, {"base": top}))


# --- pillar ---------------------------------------------------------------------------------------------------


def _pillar(tmp_path: Path, trees: TreeOptions, environment: str = "base", **files: dict[str, str]) -> Any:
    roots = {name: (write(tmp_path / f"pillar-{name}", content),) for name, content in files.items()}
    options = CompilerOptions(trees=trees)
    return reveal(compile_pillar(Request("m1", {}, Roots({}, roots), environment=environment, options=options)))


TWO = {"top.sls": "base:\n  '*': [one, two]\n"}
ONE_OVER_THE_OTHER = {**TWO, "one.sls": "a: {p: [1, 2], q: 1}\nb: 1\n", "two.sls": "a: {p: [2, 3], r: 1}\nc: 1\n"}


@pytest.mark.parametrize(
    ("trees", "a"),
    [
        (TreeOptions(), {"p": [2, 3], "q": 1, "r": 1}),
        (TreeOptions(pillar_source_merging_strategy="recurse"), {"p": [2, 3], "q": 1, "r": 1}),
        (TreeOptions(pillar_source_merging_strategy="none"), {"p": [2, 3], "q": 1, "r": 1}),
        (TreeOptions(pillar_source_merging_strategy="overwrite"), {"p": [2, 3], "r": 1}),
        (TreeOptions(pillar_source_merging_strategy="aggregate"), {"p": [2, 3], "r": 1}),
        (TreeOptions(pillar_source_merging_strategy="list"), [{"p": [1, 2], "q": 1}, {"p": [2, 3], "r": 1}]),
        (TreeOptions(pillar_merge_lists=True), {"p": [1, 2, 3], "q": 1, "r": 1}),
    ],
)
def test_pillar_sources_are_merged_as_told(tmp_path: Path, trees: TreeOptions, a: Any) -> None:
    assert _pillar(tmp_path, trees, base=ONE_OVER_THE_OTHER) == {"a": a, "b": 1, "c": 1}


def test_an_include_wins_when_that_is_set(tmp_path: Path) -> None:
    files = {"top.sls": "base:\n  '*': [one]\n", "one.sls": "include: [two]\nx: one\n", "two.sls": "x: two\n"}
    assert _pillar(tmp_path, TreeOptions(), base=files) == {"x": "one"}
    assert _pillar(tmp_path, TreeOptions(pillar_includes_override_sls=True), base=files) == {"x": "two"}


def test_defaults_go_down_to_what_the_included_file_includes(tmp_path: Path) -> None:
    files = {
        "top.sls": "base:\n  '*': [one]\n",
        "one.sls": "include:\n  - two: {defaults: {n: 1}, key: first}\n"
        "  - two: {defaults: {n: 2}, key: 'second:below'}\n",
        "two.sls": "include: [three]\ntwo: {{ n }}\n",
        "three.sls": "three: {{ n }}\n",
    }  # fmt: skip
    found = _pillar(tmp_path, TreeOptions(), base=files)
    assert found == {"first": {"two": 1, "three": 1}, "second": {"below": {"two": 2, "three": 2}}}


def test_environments_of_the_pillar(tmp_path: Path) -> None:
    base = {"top.sls": "base:\n  '*': [x]\ndev:\n  '*': [y]\n", "x.sls": "x: base\n"}
    dev = {"top.sls": "dev:\n  '*': [x]\n", "x.sls": "x: dev\n", "y.sls": "y: dev\n"}
    assert _pillar(tmp_path, TreeOptions(), base=base, dev=dev) == {"x": "dev"}
    assert _pillar(tmp_path, TreeOptions(pillarenv="base"), base=base, dev=dev) == {"x": "base"}
    assert _pillar(tmp_path, TreeOptions(pillar_source_merging_strategy="none"), base=base, dev=dev) == {"x": "base"}
    from_states = TreeOptions(pillarenv_from_saltenv=True)
    assert _pillar(tmp_path, from_states, "dev", base={**base, "top.sls": ""}, dev=dev) == {"x": "dev"}
    with pytest.raises(SlsError, match="'pillarenv' names the environment 'prod'"):
        _pillar(tmp_path, TreeOptions(pillarenv="prod"), base=base)


def test_all_pillar_files_that_cannot_be_read_are_told_at_once(tmp_path: Path) -> None:
    files = {**TWO, "one.sls": "a: {{ nothing.here }}\n", "two.sls": "a: 1\na: 2\n"}
    with pytest.raises(SlsError) as caught:
        _pillar(tmp_path, TreeOptions(), base=files)
    assert str(caught.value.where) == "one.sls:1"
    assert "two.sls:2" in caught.value.message


@pytest.mark.parametrize("key", ["top_file_merging_strategy", "pillar_source_merging_strategy"])
def test_unknown_strategies_are_refused(key: str) -> None:
    with pytest.raises(ConfigError, match=f"'{key}' cannot be 'mrge'"):
        check_trees(TreeOptions(**{key: "mrge"}))  # type: ignore[arg-type]
