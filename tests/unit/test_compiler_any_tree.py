"""Any state tree, also a broken one, compiles or is refused with a located error; nothing else ever comes of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from master.compiler.compile import compile_assignment, compile_low
from master.compiler.request import CompilerOptions, Request, Roots
from master.compiler.words import OPTIONS, REQUISITES, REQUISITES_IN
from protocol.errors import InputError, SlsError

NAMES = ["a", "b", "main", "other", "sub.x", "/etc/x", "s*", "[", "", "é", "a b", "__x", "include", "test.nop", "id"]
FUNCTIONS = [
    "test.nop",
    "cmd.run",
    "file.managed",
    "pkg.installed",
    "test",
    "cmd",
    "nothing.there",
    "pkg.",
    ".x",
    "a.b.c",
]
WORDS = [*REQUISITES, *REQUISITES_IN, *OPTIONS, "use", "use_in", "name", "names", "state", "source", "mode", "contents"]

scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=True)
    | st.sampled_from([*NAMES, *FUNCTIONS, "true", "first", "last", "__slot__:salt:test.echo(", "salt://x"])
    | st.text(st.characters(codec="utf-8"), max_size=6)
)
keys = st.sampled_from([*NAMES, *FUNCTIONS, *WORDS]) | st.integers(-3, 3) | st.none() | st.booleans()
anything = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(keys, inner, max_size=4), max_leaves=12
)
names = st.sampled_from(NAMES)
references = st.lists(
    names
    | st.dictionaries(st.sampled_from(["test", "cmd", "sls", "id", "file", "pkg"]), names, min_size=1, max_size=1),
    max_size=3,
)
argument = (
    st.sampled_from([*REQUISITES, *REQUISITES_IN, "use", "use_in"]).flatmap(
        lambda word: st.fixed_dictionaries({word: references | anything})
    )
    | st.sampled_from(WORDS).flatmap(lambda word: st.fixed_dictionaries({word: anything}))
    | st.sampled_from(["nop", "run", "installed"])
)
body = st.dictionaries(
    st.sampled_from(FUNCTIONS[:6]), st.lists(argument, max_size=4) | anything, max_size=2
) | st.sampled_from(FUNCTIONS)
tops = st.fixed_dictionaries(
    {},
    optional={
        "include": st.lists(names | anything, max_size=3) | anything,
        "extend": st.dictionaries(names, body, max_size=2) | anything,
        "exclude": st.lists(
            st.fixed_dictionaries({"sls": names}) | st.fixed_dictionaries({"id": names}) | anything, max_size=2
        ),
    },
)
documents = (
    st.builds(lambda top, ids: {**top, **ids}, tops, st.dictionaries(names, body | anything, max_size=4)) | anything
)
texts = documents.map(lambda data: yaml.safe_dump(data, allow_unicode=True, sort_keys=False)) | st.text(
    st.sampled_from("ab:-{}[]#&*!|>'\"% \n\t{%}0<?.,"), max_size=40
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("trees")


def outcome(folder: Path, files: dict[str, str], options: CompilerOptions) -> list[SlsError]:
    """How the compiler refuses the tree: no errors when it compiles."""
    (folder / "sub").mkdir(exist_ok=True)
    for name in ("main", "other", "sub/x"):
        (folder / f"{name}.sls").write_text(files.get(name, ""), encoding="utf-8")
    request = Request("m1", {"os": "Debian"}, Roots({"base": (folder,)}), ("main",), options=options)
    low = compile_low(request)
    try:
        compile_assignment(request)
    except InputError as error:
        assert isinstance(error, SlsError)
        return [error, *low.errors]
    return list(low.errors)


@settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    files=st.fixed_dictionaries({"main": texts}, optional={"other": texts, "sub/x": texts}),
    strict=st.booleans(),
    known=st.booleans(),
)
def test_any_tree_compiles_or_is_refused_where_it_is_wrong(
    folder: Path, files: dict[str, str], strict: bool, known: bool
) -> None:
    options = CompilerOptions(strict_requisites=strict, strict_states=known, aggregate=True)
    for error in outcome(folder, files, options):
        assert error.where.file, error
        assert error.message


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.dictionaries(st.sampled_from(["a", "b", "c"]), body, min_size=1, max_size=3))
def test_what_is_nearly_right_too(folder: Path, data: dict[str, Any]) -> None:
    text = yaml.safe_dump(data, allow_unicode=True, sort_keys=False)
    for error in outcome(folder, {"main": text}, CompilerOptions(strict_states=False)):
        assert error.where.file
