"""How SLS files are read: forms of declarations, includes, extends, excludes, names and order."""

from __future__ import annotations

from pathlib import Path

import pytest

from master.compiler.compile import Request, Roots, compile_assignment
from protocol.errors import SlsError
from tests.unit.compiler_tree import chunks, compiled


@pytest.mark.parametrize(
    "text",
    [
        "a: test.nop\n",
        "a:\n  test.nop: []\n",
        "a:\n  test:\n    - nop\n",
        "a:\n  test: [nop]\n",
        "a:\n  test.nop:\n    - state: ignored\n    - __env__: base\n",
        "#!jinja|yaml\na: test.nop\n",
        "#!yaml\na: test.nop\n",
        "__internal: 1\na: test.nop\n",
    ],
)
def test_every_form_of_a_declaration_is_read(tmp_path: Path, text: str) -> None:
    (chunk,) = compiled(tmp_path, text).assignment.chunks
    assert (chunk.function, chunk.id, chunk.name, chunk.sls, chunk.file) == ("test.nop", "a", "a", "main", "main.sls")
    assert not chunk.args


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("5:\n  test.nop: []\n", 1, "the id 5 is int, and an id must be a string"),
        ("a:\n", 1, "declares nothing"),
        ("a: nop\n", 1, "names no function of 'nop'"),
        ("a:\n  - test.nop\n", 1, "holds a list"),
        ("a:\n  test.nop:\n", 2, "has a colon and no arguments"),
        ("a:\n  test: nop\n", 2, "must be a list (write 'test.nop: []')"),
        ("a:\n  test.nop:\n    name: b\n", 2, "must be a list (put '- ' before each argument)"),
        ("a:\n  test: []\n", 2, "no function is declared for 'test'"),
        ("a:\n  test.nop:\n    - nop\n", 3, "two functions"),
        ("a:\n  test.nop:\n    - name b\n", 3, "is a ':' or a space behind it missing"),
        ("a:\n  test.nop:\n    - require: [b]\n      order: 1\n", 3, "'require', 'order' in one item"),
        ("a:\n  test.nop:\n    - 5\n", 3, "5 in the id 'a' is no argument"),
        ("a:\n  test.nop: []\n  test.fail_without_changes: []\n", 3, "declares 'test' twice"),
        ("a:\n  test.nop: []\n  require:\n    - test: b\n", 3, "in the place of a state (indent it below a state"),
        ("a:\n  test.nop:\n    - require: b\n", 3, "'require' in the id 'a' must be a list"),
        ("a:\n  test.nop:\n    - require:\n      - pkg.installed: b\n", 4, "names the function 'pkg.installed'"),
        ("a:\n  test.nop:\n    - require:\n      - pkg: b\n        file: c\n", 4, "must be 'module: id' or an id"),
        ("a:\n  test.nop:\n    - require:\n      - pkg: [b]\n", 4, "must name one state"),
        ("a:\n  test.nop:\n    - order: soon\n", 3, "order 'soon'"),
        ("a:\n  test.nop:\n    - names: b\n", 3, "'names' of test.nop (id 'a') must be a list"),
        ("- a\n", 1, "must hold a mapping of ids, and is a list"),
        ("include: b\n", 1, "'include' must be a list"),
        ("include:\n  - [b]\n", 2, "an item of 'include'"),
        ("include:\n  - mian\n", 2, "there is no SLS 'mian' in environment 'base' (did you mean 'main'?)"),
        ("include:\n  - ...x\n", 2, "leads above the top"),
        ("include:\n  - prod: x\n", 2, "there is no environment 'prod'"),
        ("extend: [a]\n", 1, "'extend' must be a mapping"),
        (
            "extend:\n  a:\n    test:\n      - order: 1\n",
            3,
            "'extend' names the test state 'a', which no included file",
        ),
        ("exclude: a\n", 1, "'exclude' must be a list"),
        ("exclude:\n  - [a]\n", 2, "an item of 'exclude'"),
        ("a:\n  test.nopp: []\n", 2, "there is no state 'test.nopp' (id 'a'; did you mean 'test.nop'?)"),
        ("a:\n  file.managed:\n    - souce: b\n", 3, "no argument 'souce' (id 'a') (did you mean 'source'?)"),
        ("a:\n  file.managed:\n    - requir:\n      - b\n", 3, "(did you mean 'require'?)"),
        ("a:\n  file.managed:\n    - replace: maybe\n", 3, "'replace' must be bool"),
        ("a:\n  file.copy: []\n", 2, "file.copy needs the argument 'source' (id 'a')"),
        ("a:\n  test.nop:\n    - retry: {tries: 3}\n", 3, "has no 'tries'"),
        ("a:\n  test.nop:\n    - failhard: 1\n", 3, "must be true or false"),
    ],
)
def test_a_mistake_is_told_with_file_line_and_what_to_do(tmp_path: Path, text: str, line: int, message: str) -> None:
    with pytest.raises(SlsError) as caught:
        compiled(tmp_path, text)
    assert (caught.value.where.file, caught.value.where.line) == ("main.sls", line)
    assert message in str(caught.value)


def test_several_mistakes_are_told_together(tmp_path: Path) -> None:
    with pytest.raises(SlsError) as caught:
        compiled(tmp_path, "a: test.one\nb: test.two\n")
    assert "'test.one'" in caught.value.message
    assert "main.sls:2: there is no state 'test.two'" in caught.value.message


def test_includes_come_first_and_once_whatever_their_form(tmp_path: Path) -> None:
    files = {
        "a/init.sls": "include:\n  - .b\n  - ..c\n  - d.*\n  - base: e\na: test.nop\n",
        "a/b.sls": "include:\n  - a\n  - .c\nb: test.nop\n",
        "a/c.sls": "ac: test.nop\n",
        "c.sls": "c: test.nop\n",
        "d/one.sls": "one: test.nop\n",
        "d/two/init.sls": "include: [a.c]\ntwo: test.nop\n",
        "e.sls": "e: test.nop\n",
    }
    assert list(chunks(tmp_path, files, sls=("a",))) == ["ac", "b", "c", "one", "two", "e", "a"]


def test_an_id_in_two_files_is_told_with_both_places(tmp_path: Path) -> None:
    files = {"main.sls": "include: [b]\n\na: test.nop\n", "b.sls": "\na: test.nop\n"}
    with pytest.raises(SlsError) as caught:
        compiled(tmp_path, files)
    assert str(caught.value).startswith("main.sls:3: the id 'a' is already declared in b.sls:2")


def test_an_sls_may_be_named_by_its_path_and_by_a_glob(tmp_path: Path) -> None:
    files = {"a/b.sls": "b: test.nop\n", "a/c.sls": "c: test.nop\n"}
    assert list(chunks(tmp_path, files, sls=("a/b",))) == ["b"]
    assert list(chunks(tmp_path, files, sls=("a.*",))) == ["b", "c"]


def test_extend_replaces_adds_and_appends(tmp_path: Path) -> None:
    files = {
        "main.sls": (
            "include: [b]\nx: test.nop\ny: test.nop\nextend:\n  a:\n    file:\n      - touch\n      - name: /other\n"
            "      - require:\n        - test: y\n    test.nop: []\n  /named:\n    file:\n      - mode: 600\n"
        ),
        "b.sls": (
            "a:\n  file.managed:\n    - names: [/a, /b]\n    - require:\n      - test: x\n"
            "n:\n  file.managed:\n    - name: /named\n    - mode: 644\n    - contents: x\n"
        ),
    }
    found = compiled(tmp_path, files).assignment.chunks
    (extended,) = [chunk for chunk in found if chunk.id == "a" and chunk.state == "file"]
    assert (extended.fun, extended.name, extended.args) == ("touch", "/other", {})
    assert [found[target].id for target in extended.requisites[0].targets] == ["x", "y"]
    (named,) = [chunk for chunk in found if chunk.id == "n"]
    assert named.args == {"mode": "600", "contents": "x"}
    assert [chunk.id for chunk in found if chunk.state == "test"] == ["x", "y", "a"]


def test_exclude_removes_ids_and_files_with_their_extends(tmp_path: Path) -> None:
    files = {
        "main.sls": "include: [b, c]\nexclude:\n  - id: a\n  - sls: c*\nextend:\n  b:\n    test:\n      - order: 1\n",
        "b.sls": "a: test.nop\nb: test.nop\n",
        "c.sls": "c: test.nop\nextend:\n  b:\n    test:\n      - fail_without_changes\n",
    }
    (chunk,) = compiled(tmp_path, files).assignment.chunks
    assert (chunk.id, chunk.fun) == ("b", "nop")


def test_names_give_a_chunk_each_with_its_overrides(tmp_path: Path) -> None:
    text = (
        "r: test.nop\na:\n  file.managed:\n    - names:\n      - /x\n      - /y:\n        - mode: 600\n"
        "        - require:\n          - test: r\n      - /x\n      - 5\n    - mode: 644\n    - contents: ''\n"
    )
    found = [chunk for chunk in compiled(tmp_path, text).assignment.chunks if chunk.id == "a"]
    assert [(chunk.name, chunk.args["mode"]) for chunk in found] == [("/x", "644"), ("/y", "600"), ("5", "644")]
    assert [len(chunk.requisites) for chunk in found] == [0, 1, 0]


def test_a_name_that_is_no_string_is_ignored(tmp_path: Path) -> None:
    assert chunks(tmp_path, "a:\n  test.nop:\n    - name: 5\n")["a"].name == "a"


def test_order_numbers_sort_the_chunks(tmp_path: Path) -> None:
    text = "\n".join(
        f"{name}:\n  test.nop:\n    - order: {order}"
        for name, order in [("last", "last"), ("minus", -1), ("two", 2), ("first", "first"), ("one", 1)]
    )
    assert list(chunks(tmp_path, text + "\nauto: test.nop\n")) == ["first", "one", "two", "auto", "minus", "last"]


def test_options_are_parted_from_arguments(tmp_path: Path) -> None:
    text = (
        "a:\n  file.managed:\n    - name: /a\n    - mode: 0640\n    - check_cmd: visudo -c\n    - unless: test -e /b\n"
        "    - retry: {attempts: 3, interval: 1}\n    - failhard: true\n    - order: 5\n    - parallel: true\n"
    )
    chunk = chunks(tmp_path, text)["a"]
    assert chunk.args == {"mode": "640", "check_cmd": "visudo -c"}
    assert chunk.options == {
        "unless": "test -e /b",
        "retry": {"attempts": 3, "interval": 1},
        "failhard": True,
        "order": 5,
        "parallel": True,
    }


def test_keys_that_are_no_strings_become_strings(tmp_path: Path) -> None:
    text = "a:\n  file.managed:\n    - contents: {80: x, true: y, null: [z]}\n"
    assert chunks(tmp_path, text)["a"].args["contents"] == {"80": "x", "true": "y", "null": ["z"]}


def test_the_shipped_formulas_come_last(tmp_path: Path) -> None:
    with pytest.raises(SlsError, match="there is no SLS 'nothing'"):
        compile_assignment(Request("m1", {}, Roots({}), sls=("nothing",)))
