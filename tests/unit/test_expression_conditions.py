"""Conditions: what they come to, what they refuse, and how they explain themselves."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from protocol.data import Data
from protocol.errors import ExpressionError, InputError
from protocol.expression import MAX_LENGTH, parse
from protocol.secrets import Secret

DATA: Data = {
    "osdmap": {"num_osds": 3, "num_up_osds": 2},
    "health": {"status": "HEALTH_WARN", "checks": {"OSD_DOWN": {}}},
    "pgs": [{"state": "active+clean", "n": 4}, {"state": "peering", "n": 1}],
    "names": ["a", "b"],
    "x y": 1,
    "t": True,
    "nothing": None,
    "ratio": 0.5,
    "key": Secret("sesame-open"),
}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("osdmap.num_up_osds", 2),
        ("osdmap.num_up_osds >= 3", False),
        ("osdmap.num_up_osds == osdmap.num_osds - 1", True),
        ("osdmap['num_osds'] != 3", False),
        ('health["status"] in ["HEALTH_OK", "HEALTH_WARN"]', True),
        ("'OSD_DOWN' in health.checks", True),
        ("'OSD_DOWN' not in health.checks", False),
        ("'HEALTH' in health.status", True),
        ("3 in names", False),
        ("pgs[0].state == 'active+clean' and pgs[-1].n < 2", True),
        ("t and not nothing", True),
        ("not not t", True),
        ("not t or ratio > 0.25", True),
        ("false or nothing", False),
        ("t and names", True),
        ("1 + 2 * 3", 7),
        ("(1 + 2) * 3 / 2", 4.5),
        ("-2 - -3", 1),
        ("--2", 2),
        ("-ratio", -0.5),
        ("len(names) + len(health.checks) + len('abc')", 6),
        ("any([0, false, 2])", True),
        ("all([])", True),
        ("all(names)", True),
        ("sum([1, 2.5]) == 3.5", True),
        ("lower('AbC') == 'abc'", True),
        ("matches(pgs[0].state, 'active.*')", True),
        ("matches(pgs[0].state, 'active')", False),
        ("has(osdmap.full)", False),
        ("has(osdmap.num_osds)", True),
        ("default(osdmap.full, 7) + default(ratio, 0)", 7.5),
        ("1 == 1.0", True),
        ("1 == true", False),
        ("[1, [2]] == [1, [2.0]]", True),
        ("pgs[0] == pgs[1]", False),
        ("health.checks == health.checks", True),
        ("nothing == null", True),
        ("'b' > 'a'", True),
        (r"'it\'s' == " + '"it\'s"', True),
        (r"'a\nb' == 'a\tb'", False),
        ("key == 'sesame-open'", True),
        ("[]", []),
    ],
)
def test_values(text: str, expected: Data) -> None:
    expression = parse(text)
    assert expression.evaluate(DATA) == expected
    assert type(expression.evaluate(DATA)) is type(expected)
    assert expression.holds(DATA) is bool(expected)


@pytest.mark.parametrize(
    ("text", "path", "part"),
    [
        ("osdmap.full > 1", "osdmap.full", "osdmap.full is missing"),
        ("nope.deeper", "nope", "nope is missing"),
        ("names[2]", "names[2]", "is missing"),
        ("names[true]", "names[true]", "is missing"),
        ("names.a", "names.a", "is missing"),
        ("osdmap[0]", "osdmap[0]", "is missing"),
        ("nothing.x", "nothing.x", "is missing"),
        ("names > 1", "names", "a list and a number have no order"),
        ("t > 0", "t", "a truth value and a number have no order"),
        ("1 in 2", "2", "nothing can be in it"),
        ("names + 1", "names", "names is a list, not a number"),
        ("t * 2", "t", "not a number"),
        ("1 / (ratio - ratio)", "(ratio - ratio)", "division by zero"),
        ("len(1)", "1", "needs a list, mapping or text, not a number"),
        ("any(t)", "t", "needs a list"),
        ("sum(names)", "names", "one of them is a text"),
        ("lower(null)", "null", "needs a text, not null"),
        ("matches(1, 'a')", "1", "needs a text"),
        ("matches('a', health.status + 1)", "health.status", "not a number"),
        ("matches('a', lower('(A+)+'))", "'a'", "may take for ever"),
        ("999999999999999999 * 999999999999999999", "", "too large"),
        ("sum([9000000000000000000, 9000000000000000000])", "", "18 digits"),
    ],
)
def test_what_cannot_be_decided_names_the_path(text: str, path: str, part: str) -> None:
    try:
        expression = parse(text)
    except InputError as error:
        assert part in error.message
        return
    with pytest.raises(ExpressionError) as caught:
        expression.evaluate(DATA)
    assert part in caught.value.message
    assert caught.value.path.strip("()") == path.strip("()")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("osdmap.num_up_osds >= 3", "osdmap.num_up_osds is 2, wanted >= 3"),
        ("osdmap.num_up_osds == osdmap.num_osds", "osdmap.num_up_osds is 2, wanted == osdmap.num_osds (3)"),
        (
            "osdmap.num_up_osds >= 3 and t and health.status == 'HEALTH_OK'",
            "osdmap.num_up_osds is 2, wanted >= 3; health.status is 'HEALTH_WARN', wanted == 'HEALTH_OK'",
        ),
        ("osdmap.num_osds >= 3 or nope.x", "osdmap.num_osds is 3, wanted >= 3"),
        ("t and ratio > 0.1", "t is true; ratio is 0.5, wanted > 0.1"),
        ("nothing", "nothing is null"),
        ("not t", "t is true, wanted the opposite"),
        ("osdmap.full > 1", "osdmap.full is missing"),
        ("len(names) > 2", "len(names) is 2, wanted > 2"),
        ("any(names)", "any(names) is true (names is ['a', 'b'])"),
        ("has(nope)", "has(nope) is false"),
        ("osdmap", "osdmap is a mapping of 2"),
        ("key == 'x'", "key is ***, wanted == 'x'"),
        ("[key] == names", "[key] is [***], wanted == names (['a', 'b'])"),
    ],
)
def test_explanations(text: str, told: str) -> None:
    assert parse(text).explain(DATA) == told


def test_long_values_are_cut_in_explanations() -> None:
    told = parse("names == pgs").explain({"names": "x" * 500, "pgs": list(range(100))})
    assert len(told) < 400
    assert "…" in told


@pytest.mark.parametrize(
    ("text", "column", "part"),
    [
        ("", 1, "the condition ends where a value is expected"),
        ("a >=", 5, "the condition ends where a value"),
        ("a b", 3, "'b' is found where and, or"),
        ("a = 1", 3, "cannot be read"),
        ("a == 'x", 6, "cannot be read"),
        ("a & b", 3, "cannot be read"),
        ("1 < a < 3", 7, "cannot be chained"),
        ("(a", 3, "where ')' is expected"),
        ("a[1", 4, "where ']' is expected"),
        ("a.1", 3, "where a key is expected"),
        ("a..b", 3, "where a key is expected"),
        ("[1 2]", 4, "where ',' is expected"),
        ("and a", 1, "'and' is found where a value"),
        ("a or", 5, "the condition ends"),
        ("a not b", 3, "'not' is found"),
        ("exec('x')", 1, "there is no function 'exec'"),
        ("len()", 1, "takes 1 arguments, not 0"),
        ("has(1)", 1, "takes a path"),
        ("matches(a, 1)", 1, "takes a text"),
        ("a and matches(b, '(x+)+')", 7, "may take for ever"),
        ("matches(a, '[')", 1, "no regular expression"),
        ("1234567890123456789", 1, "more than 18 digits"),
        ("(" * 50 + "1" + ")" * 50, 41, "nested deeper"),
        ("1" + "+1" * 300, 402, "more than 200 sums"),
        ("a" + ".a" * 300, 402, "more than 200 sums"),
        ("1" * (MAX_LENGTH + 1), 1, "a condition of"),
        (").__class__", 1, "')' is found"),
    ],
)
def test_what_cannot_be_read_is_refused_with_its_column(text: str, column: int, part: str) -> None:
    with pytest.raises(InputError) as caught:
        parse(text)
    assert part in caught.value.message
    assert caught.value.where.column == column


def test_no_python_object_is_reached() -> None:
    for text in ("names.__class__", "names.append", "health.keys", "t.real"):
        with pytest.raises(ExpressionError, match="is missing"):
            parse(text).evaluate(DATA)


def test_work_is_bounded() -> None:
    big: Data = {"a": [[0] * 1000] * 1001}
    with pytest.raises(ExpressionError, match="more than"):
        parse("a == a").evaluate(big)
    with pytest.raises(ExpressionError, match="at most 10000 characters"):
        parse("matches(a, 'x*')").evaluate({"a": "x" * 10_001})


def test_the_deepest_condition_that_is_read_can_be_evaluated() -> None:
    nested = "(" * 39 + "1" + "+1)" * 39
    assert parse(nested).evaluate({}) == 40
    assert parse("not " * 900 + "true").evaluate({}) is True
    assert parse("-" * 900 + "1").evaluate({}) == 1


pieces = st.sampled_from(
    [
        "a",
        "b.c",
        "[0]",
        "and",
        "or",
        "not",
        "in",
        "(",
        ")",
        "[",
        "]",
        ",",
        "==",
        "<",
        "+",
        "-",
        "*",
        "/",
        "1",
        "'x'",
        "len(",
    ]
)


@given(st.one_of(st.text(), st.lists(pieces).map(" ".join)))
@example("\n")
@example("'\\")
@example("²")
@example("١")
def test_reading_raises_nothing_but_input_errors(text: str) -> None:
    try:
        expression = parse(text)
    except InputError as error:
        assert 1 <= error.where.column <= len(text) + 1
        return
    assert expression.explain({"a": [1, 2], "b": {"c": "x"}})
    try:
        expression.evaluate({"a": [1, 2], "b": {"c": "x"}})
    except ExpressionError as error:
        assert error.message


@given(st.integers(-999, 999), st.integers(-999, 999), st.integers(-999, 999))
def test_reckoning_agrees_with_python(a: int, b: int, c: int) -> None:
    data: Data = {"a": a, "b": b, "c": c}
    assert parse("a + b * c - a").evaluate(data) == a + b * c - a
    assert parse("a < b or b < c and c < a").evaluate(data) == (a < b or (b < c and c < a))
    assert parse("not a == b and b <= c").evaluate(data) == (a != b and b <= c)
