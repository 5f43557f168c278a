"""Node sets: which brackets are ranges, what they expand to, and that matching agrees with expanding."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.errors import InputError, TargetError
from protocol.nodeset import is_nodeset, parse
from protocol.regexes import MAX_PATTERN, compile_pattern, compile_safe


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("osd[1-40]", True),
        ("osd[10,12]", True),
        ("osd[1-9/2]", True),
        ("osd[01-03]", True),
        ("a[0-9]b[1-10]", True),
        ("osd[1-3]", False),
        ("osd[1,3]", False),
        ("web0[13]", False),
        ("web[a-f]", False),
        ("web[!1-40]", False),
        ("osd", False),
        ("[]", False),
    ],
)
def test_which_brackets_are_ranges(text: str, expected: bool) -> None:
    assert is_nodeset(text) is expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("osd[8-11]", ["osd8", "osd9", "osd10", "osd11"]),
        ("osd[08-10,12].x", ["osd08", "osd09", "osd10", "osd12"]),
        ("r[1-2/1]n[10,20]", ["r1n10", "r1n20", "r2n10", "r2n20"]),
        ("n[1-10/4]", ["n1", "n5", "n9"]),
    ],
)
def test_expanding(text: str, expected: list[str]) -> None:
    assert [name.removesuffix(".x") for name in parse(text).expand()] == expected


@pytest.mark.parametrize("text", ["a*b[1-40]", "a[ab]c[1-40]", "n[1-999999]", "a[1-1000]b[1-1000]"])
def test_what_cannot_be_expanded(text: str) -> None:
    with pytest.raises(TargetError):
        parse(text).expand()


spans = st.tuples(st.integers(0, 150), st.integers(0, 12), st.sampled_from([0, 4])).map(
    lambda span: f"{span[0]:0{span[2]}d}-{span[0] + span[1]:0{span[2]}d}"
)


@given(st.lists(spans, min_size=1, max_size=3), st.integers(0, 200))
def test_matching_agrees_with_expanding(ranges: list[str], number: int) -> None:
    text = f"osd[{','.join(ranges)},999]"
    names = parse(text).expand()
    assert all(parse(text).matches(name) for name in names)
    for name in (f"osd{number}", f"osd{number:04d}"):
        assert parse(text).matches(name) is (name in names)


@given(st.text(alphabet="osd[]0123456789-,/*?! ", max_size=30))
def test_only_target_errors_are_raised(text: str) -> None:
    try:
        assert parse(text).matches("osd1") in (True, False)
    except TargetError as error:
        assert error.help


@pytest.mark.parametrize(
    "pattern", ["(a+)+$", "(a|aa)*b", "((ab)*c)*", "(a{2,})+", "(?:x?y){100}", "(a*)*", "([a-z]+\\.)+", "a*" * 9]
)
def test_slow_expressions_are_refused(pattern: str) -> None:
    with pytest.raises(InputError):
        compile_safe(pattern)
    assert compile_pattern(pattern).pattern == pattern


@pytest.mark.parametrize(
    "pattern", ["^osd\\d+$", "(ab)+", "(a|b)c*", "[(a+)]+", "\\(a+\\)+", "(a+){2}", "(web|db)[0-9]{2}", "a{,3}", "x{y}"]
)
def test_quick_expressions_are_taken(pattern: str) -> None:
    assert compile_safe(pattern).pattern == pattern


def test_long_and_wrong_expressions_are_refused() -> None:
    for pattern in ("(", "a" * (MAX_PATTERN + 1), "*"):
        with pytest.raises(InputError):
            compile_pattern(pattern)
