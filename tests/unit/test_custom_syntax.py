"""What the master knows of custom code without importing it: names, arguments, defaults, who uses it."""

from __future__ import annotations

import textwrap
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from master.compiler import customcode
from master.compiler.compile import CompilerOptions, compile_assignment, compile_call
from master.compiler.custom import bound
from protocol.assignment import Custom, digest
from protocol.errors import ArgumentError, SlsError
from protocol.secrets import Secret
from states.declarations import Signature
from tests.unit.compiler_tree import compiled, request

STATE = """
def present(name, size, color='red', *, deep=None):
    return {}
def loose(name, **kwargs):
    return {}
def _hidden(name):
    return {}
def mod_watch(name, sfun=None):
    return {}
"""
TREE = {"_states/disk.py": STATE, "_modules/osd.py": "def ls(path='/'):\n    return path\n"}


def parse(text: str, name: str = "mine") -> customcode.Source:
    return customcode.parse(textwrap.dedent(text).encode(), name)


def signature(text: str, name: str = "fun") -> Signature:
    return parse(text).functions[name].signature


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("", ("mine",)),
        ("__virtualname__ = 'other'", ("mine",)),
        ("__virtualname__ = 'other'\ndef __virtual__():\n    return __virtualname__", ("other",)),
        ("__virtualname__ = 'other'\ndef __virtual__():\n    return True", ("other",)),
        ("def __virtual__():\n    return 'a' if x else False", ("a",)),
        ("def __virtual__():\n    if x:\n        return 'a'\n    return 'b'", ("a", "b")),
        ("def __virtual__():\n    return (False, 'not here')", ("mine",)),
        ("def __virtual__():\n    return HAS_LIBRARY", ("mine",)),
        ("def __virtual__():\n    return HAS and 'a'", ("mine", "a")),
    ],
)
def test_a_module_loads_as_what_its_virtual_can_return(text: str, names: tuple[str, ...]) -> None:
    assert parse(text).names == names


def test_functions_are_the_public_ones_by_their_aliases() -> None:
    text = """
        __func_alias__ = {'list_': 'list'}
        def list_(): pass
        def _own(): pass
        class Thing: pass
        try:
            import x
            def guarded(): pass
        except ImportError:
            def other(): pass
        same = list_
        elsewhere = x.fun
        NUMBER = 1
    """
    assert sorted(parse(text).functions) == ["elsewhere", "guarded", "list", "other", "same"]
    assert sorted(parse("__load__ = ['a']\ndef a(): pass\ndef b(): pass").functions) == ["a"]


def test_arguments_and_defaults_are_read() -> None:
    found = signature("def fun(name, size, color='red', other=DEFAULT, *, deep=None, must): pass")
    assert {key: (each.required, each.default) for key, each in found.parameters.items()} == {
        "name": (True, None),
        "size": (True, None),
        "color": (False, "red"),
        "other": (False, None),
        "deep": (False, None),
        "must": (True, None),
    }
    assert (found.open, found.rest) == (False, False)
    assert signature("def fun(*a, **k): pass").open
    assert signature("def fun(*a): pass").rest
    wrapped = signature("@send('get')\ndef fun(a): pass")
    assert (wrapped.open, wrapped.rest, wrapped.parameters["a"].required) == (True, True, False)


def test_python_2_is_a_problem_with_its_line() -> None:
    found = parse("import os\nprint 'x'\n")
    assert found.line == 2
    assert "Python 3" in found.problem


@given(st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
def test_whatever_a_file_holds_it_is_read_or_told(content: bytes) -> None:
    found = customcode.parse(content, "mine")
    assert found.problem or isinstance(found.names, tuple)


def test_calls_are_bound_to_what_is_declared() -> None:
    plain = signature("def fun(a, b=1): pass")
    assert bound("m.fun", plain, ("x",), {"b": 2}) == ((), {"a": "x", "b": 2})
    for args, kwargs in [((), {}), (("x", "y", "z"), {}), (("x",), {"c": 1})]:
        with pytest.raises(ArgumentError, match=r"m\.fun"):
            bound("m.fun", plain, args, kwargs)
    rest = signature("def fun(a, *more): pass")
    assert bound("m.fun", rest, ("x", "y"), {}) == (("x", "y"), {})
    with pytest.raises(ArgumentError, match="needs the argument 'a'"):
        bound("m.fun", rest, (), {})


def test_the_code_travels_with_a_state_of_it_and_the_pillar_with_it(tmp_path: Path) -> None:
    files = {**TREE, "main.sls": "a:\n  disk.present:\n    - size: 3\n"}
    made = compiled(tmp_path, files, pillar="color: blue\npassword: correct-horse\n")
    custom = made.assignment.custom
    assert custom is not None
    assert [(file.kind, file.path, file.names) for file in custom.files] == [
        ("modules", "osd.py", ("osd",)),
        ("states", "disk.py", ("disk",)),
    ]
    assert custom.pillar["color"] == "blue"
    assert isinstance(custom.pillar["password"], Secret)
    assert "correct-horse" in made.assignment.secrets
    assert {file.ref.digest for file in custom.files} == {digest(text.encode()) for text in TREE.values()}
    assert custom.blobs() <= made.assignment.blobs()


def test_no_pillar_and_no_code_travel_with_what_does_not_use_it(tmp_path: Path) -> None:
    files = {**TREE, "main.sls": "/a:\n  file.managed:\n    - contents: x\n"}
    assert compiled(tmp_path, files, pillar="color: blue\n").assignment.custom is None
    with_grains = {**files, "_grains/rack.py": "def rack(): return {}\n", "_utils/u.py": "def f(): pass\n"}
    custom = compiled(tmp_path, with_grains, pillar="color: blue\n").assignment.custom
    assert custom is not None
    assert [file.shown for file in custom.files] == ["_grains/rack.py", "_utils/u.py"]
    assert custom.pillar == {}


@pytest.mark.parametrize(
    "entry",
    [
        "- unless:\n      - fun: osd.ls",
        "- onlyif:\n      - fun: osd.ls\n        args: [x]",
        "- contents: __slot__:salt:osd.ls(/etc)",
    ],
)
def test_conditions_and_slots_use_it(tmp_path: Path, entry: str) -> None:
    text = f"/a:\n  file.managed:\n    - mode: '0600'\n    {entry}\n"
    custom = compiled(tmp_path, {**TREE, "main.sls": text}).assignment.custom
    assert custom is not None
    assert custom.files


@pytest.mark.parametrize(
    ("call", "message", "help"),
    [
        ("disk.present:\n    - size: 1\n    - colour: red", "disk.present has no argument 'colour'", "'color'"),
        ("disk.present:\n    - color: red", "disk.present needs the argument 'size'", ""),
        ("disk.absent: []", "there is no state 'disk.absent'", ""),
        ("disk._hidden: []", "there is no state 'disk._hidden'", ""),
    ],
)
def test_a_wrong_call_is_told_as_for_states_of_ours(tmp_path: Path, call: str, message: str, help: str) -> None:
    with pytest.raises(SlsError, match=message) as caught:
        compiled(tmp_path, {**TREE, "main.sls": f"a:\n  {call}\n"})
    assert caught.value.where.file == "main.sls"
    assert help in caught.value.help


def test_any_argument_goes_with_open_keywords_and_watch_is_kept(tmp_path: Path) -> None:
    text = "a:\n  disk.loose:\n    - any: 1\n    - watch:\n      - file: /b\n/b:\n  file.managed:\n    - contents: x\n"
    made = compiled(tmp_path, {**TREE, "main.sls": text})
    (chunk,) = [chunk for chunk in made.assignment.chunks if chunk.id == "a"]
    assert chunk.args == {"any": 1}
    assert [each.kind for each in chunk.requisites] == ["watch"]


def test_a_file_that_is_no_python_is_told_when_it_is_used(tmp_path: Path) -> None:
    files = {"_states/old.py": "x = 1\nprint 'x'\n", "main.sls": "a:\n  old.thing: []\n"}
    with pytest.raises(SlsError, match="no Python 3") as caught:
        compiled(tmp_path, files)
    assert (caught.value.where.file, caught.value.where.line) == ("_states/old.py", 2)


def test_a_state_of_ours_is_replaced_only_when_that_is_allowed(tmp_path: Path) -> None:
    files = {
        "_states/file.py": "def managed(name, own):\n    return {}\n",
        "main.sls": "/a:\n  file.managed:\n    - own: 1\n",
    }
    asked = request(tmp_path, files)
    with pytest.raises(SlsError, match=r"_states/file\.py:1 defines it too"):
        compile_assignment(asked)
    allowed = request(tmp_path, files)
    object.__setattr__(allowed, "options", CompilerOptions(custom_override=True))
    custom = compile_assignment(allowed).assignment.custom
    assert isinstance(custom, Custom)
    assert custom.override


def test_a_call_takes_the_code_and_the_pillar_along(tmp_path: Path) -> None:
    asked = request(tmp_path, TREE, pillar="password: correct-horse\n", sls=(), function="osd.ls")
    found = compile_call(asked)
    assert found.custom is not None
    assert found.signature is not None
    assert list(found.signature.parameters) == ["path"]
    assert found.secrets == ("correct-horse",)
    assert set(found.blobs) == {ref.digest for ref in found.custom.blobs()}
    missing = compile_call(request(tmp_path, TREE, sls=(), function="osd.nothing"))
    assert missing.custom is None
    assert missing.names == ("osd.ls",)
    whole = compile_call(request(tmp_path, TREE, pillar="a: b\n", sls=(), function="saltutil.sync_all"))
    assert whole.custom is not None
    assert (len(whole.custom.files), whole.custom.pillar) == (2, {})
