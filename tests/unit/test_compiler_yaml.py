from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from master.compiler.yaml import Map, line_of, load, load_plain, load_shared
from protocol.errors import InputError
from protocol.yamlnodes import MAX_DEPTH, MAX_TEXT, YamlError, compose


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("0644", 644),
        ("0", 0),
        ("000", 0),
        ("0x1F", 31),
        ("0b101", 5),
        ("1_000", 1000),
        ("1:30", 90),
        ("-5", -5),
        ("1.5", 1.5),
        ("yes", True),
        ("off", False),
        ("~", None),
        ("2020-01-01", "2020-01-01"),
        ("2001-12-14t21:59:43.10-05:00", "2001-12-14t21:59:43.10-05:00"),
        ("'0644'", "0644"),
        ("0899", "0899"),
        ("18446744073709551615", 2**64 - 1),
    ],
)
def test_a_scalar_is_read_as_salt_reads_it(text: str, value: Any) -> None:
    assert load(f"a: {text}", "t") == {"a": value}
    assert type(load(f"a: {text}", "t")["a"]) is type(value)


def test_keys_keep_their_order_and_their_lines() -> None:
    data = load("b: 1\na:\n  - x: 1\n  - y\nc: {d: 2}\n", "t")
    assert list(data) == ["b", "a", "c"]
    assert data.lines == {"b": 1, "a": 2, "c": 5}
    assert data["a"].lines == [3, 4]
    assert line_of(data, "unknown") == 1
    assert line_of({}, "plain") == 0


def test_merged_keys_lose_to_explicit_ones_whatever_their_order() -> None:
    text = "x: &x {q: 1, r: 2}\ny: &y {r: 3, s: 4}\na:\n  q: 9\n  <<: [*x, *y]\n"
    assert load(text, "t")["a"] == {"q": 9, "r": 2, "s": 4}


def test_an_empty_document_is_nothing() -> None:
    assert load("", "t") is None
    assert load("# only a comment\n", "t") is None
    assert compose("", "t") is None


def test_a_remembered_document_is_the_same_for_the_same_text_and_file() -> None:
    first = load_shared("a: [1]\n", "t.sls")
    assert load_shared("a: [1]\n", "t.sls") is first
    assert load_shared("a: [2]\n", "t.sls") == {"a": [2]}
    assert load_shared("a: [1]\n", "other.sls") is not first
    with pytest.raises(YamlError):
        load_shared("a: [\n", "t.sls")


def test_plain_data_has_ordinary_containers() -> None:
    data = load_plain("a: [{b: 1}]", "t")
    assert type(data) is dict
    assert type(data["a"]) is list
    assert isinstance(load("a: 1", "t"), Map)


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("a: 1\na: 2\n", 2, "written twice; the first is on line 1"),
        ("a:\n  b: 1\n  b: 1\n", 3, "written twice"),
        ("a: {1: x, 0x1: y}\n", 1, "written twice"),
        ("{{ a }}: 1\n", 1, "cannot be a key"),
        ("a: !!python/object/apply:os.system [x]\n", 1, "the tag !!python/object/apply:os.system is refused"),
        ("a: !!binary aGk=\n", 1, "the tag !!binary is refused"),
        ("a: !local x\n", 1, "the tag !local is refused"),
        ("a: !!int x\n", 1, "no int"),
        ("a: &a [*a]\n", 1, "names what holds it"),
        ("a: &a {b: *a}\n", 1, "names what holds it"),
        ("a: *b\n", 1, "undefined alias"),
        ("a: 1\n---\nb: 2\n", 2, "another document"),
        ("a: b: c\n", 1, "mapping values are not allowed"),
        ("a:\n\tb: 1\n", 2, "cannot start any token"),
        ("a: 99999999999999999999999\n", 1, "64 bits"),
        ("a: [1, 2\nb: 3\n", 2, "expected"),
        ("a: \x07\n", 1, "is not allowed"),
        ("a: 1\n<<: 5\n", 2, "merge mappings only"),
    ],
)
def test_what_is_wrong_is_told_with_its_line(text: str, line: int, message: str) -> None:
    with pytest.raises(YamlError) as caught:
        load(text, "some/file.sls")
    assert caught.value.where.file == "some/file.sls"
    assert caught.value.where.line == line
    assert message in caught.value.message


@pytest.mark.parametrize(
    "text",
    [
        "[" * 100_000,
        "- " * 100_000,
        "? " * 100_000,
        "{a: " * 50_000,
        "\n".join(" " * depth + "a:" for depth in range(MAX_DEPTH + 2)),
        "\n".join(f"a{n}: &a{n} [*a{n - 1}]" if n else "a0: &a0 [x]" for n in range(100)),
        "\n".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" if n else "a0: &a0 [x]" for n in range(12)),
        "\n".join(f"a{n}: &a{n}\n  <<: [*a{n - 1}, *a{n - 1}]" if n else "a0: &a0 {x: 1}" for n in range(60)),
        "a: " + "9" * 100_000,
        "a: '" + "x" * MAX_TEXT + "'",
    ],
    ids=lambda text: text[:12],
)
def test_a_bomb_is_refused_at_once(text: str) -> None:
    with pytest.raises(YamlError):
        load(text, "t")


@given(st.text(alphabet=st.characters(exclude_categories=[])) | st.text(alphabet="ab01:-[]{}&*!|>'\"#%@,? \n\t~<"))
def test_any_text_is_data_or_a_told_error(text: str) -> None:
    try:
        load(text, "t")
    except InputError as error:
        assert error.where.file == "t"
