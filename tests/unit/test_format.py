"""The canonical form of SLS text: how it looks, and that neither a value nor a comment is ever lost."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from master.compiler.yaml import load, plain
from master.format import formatted
from protocol.errors import SlsError
from protocol.yamlnodes import YamlError


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("a:\n    x.y:\n    - b\n", "a:\n  x.y:\n    - b\n"),
        (
            "a:\n  x.y:\n    - require:\n        - pkg: z\n    - deep:\n        k:\n        - 1\n",
            "a:\n  x.y:\n    - require:\n      - pkg: z\n    - deep:\n        k:\n          - 1\n",
        ),
        ("a:   # one\n  x.y: []\n\n\n\n# two\nb:\n  x.y: []", "a:  # one\n  x.y: []\n\n# two\nb:\n  x.y: []\n"),
        ("a: {b: [1, 'c']}\n", "a: {b: [1, 'c']}\n"),
        ("a:\n  - \"x\"\n  - \"y\\n\"\n  - 'it''s'\n", "a:\n  - 'x'\n  - \"y\\n\"\n  - 'it''s'\n"),
        ("m: 0644\ny: yes\nn: ~\nv: 1.10\nt: 12:30\ne:\n", "m: 0644\n\ny: yes\n\nn: ~\n\nv: 1.10\n\nt: 12:30\n\ne:\n"),
        ("a:\n    t: |\n        # text\n          two\n", "a:\n  t: |\n    # text\n      two\n"),
        (
            "a:\n  x:\n      # of b\n    - b\n    # last of a\n\nc: 1\n",
            "a:\n  x:\n    # of b\n    - b\n    # last of a\n\nc: 1\n",
        ),
        ("a: &x {b: 1}\nc:\n  <<: *x\n", "a: &x {b: 1}\n\nc:\n  <<: *x\n"),
        ("#!yaml\na: 1   \n", "#!yaml\na: 1\n"),
    ],
)  # fmt: skip
def test_how_it_looks(before: str, after: str) -> None:
    assert formatted(before, "x.sls").text == after
    assert formatted(after, "x.sls").text == after


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("{{ x }}:\n  - 1\n", "it holds Jinja"),
        ("{# x #}\na:   1\n", "it holds Jinja"),
        ("#!py\ndef run(): pass\n", "its renderer is py"),
        ("# only\n", "it holds comments only"),
    ],
)
def test_what_is_left_alone(text: str, why: str) -> None:
    result = formatted(text, "x.sls")
    assert (result.text, result.left) == (text, why)


def test_what_is_no_yaml_is_an_error_with_its_place() -> None:
    with pytest.raises(SlsError, match=r"x\.sls:2"):
        formatted("a: 1\na: 2\n", "x.sls")


KEYS = st.sampled_from(["a", "b.c", "pkg.installed", "'q'", '"d e"', "no", "1"])
SCALARS = st.sampled_from(
    ["x", "'it''s'", '"t\\tx"', "0644", "yes", "~", "", "1.0", "a # no", "|-\n  z\n  # y", "[1, {a: b}]"]
)
COMMENTS = st.sampled_from(["", "", "  # note", "   #x"])


def _mapping(depth: int) -> st.SearchStrategy[list[str]]:
    """The lines of a mapping indented by some width, with comments and blank lines."""

    @st.composite
    def lines(draw: st.DrawFn) -> list[str]:
        found: list[str] = []
        for key in draw(st.lists(KEYS, min_size=1, max_size=3, unique=True)):
            if draw(st.booleans()):
                found.append(draw(st.sampled_from(["# before", "", "#"])))
            inner = draw(st.sampled_from(["scalar", "map", "list"])) if depth else "scalar"
            if inner == "scalar":
                scalar = draw(SCALARS)
                found += f"{key}: {scalar}{'' if scalar.startswith('|') else draw(COMMENTS)}".split("\n")
                continue
            found.append(f"{key}:{draw(COMMENTS)}")
            width = " " * draw(st.sampled_from([2, 3, 4]))
            if inner == "map":
                found += [width + line if line else line for line in draw(_mapping(depth - 1))]
            else:
                for item in draw(st.lists(_mapping(depth - 1), min_size=1, max_size=2)):
                    item = [line for line in item if line and not line.startswith("#")]
                    found += [width + ("- " if at == 0 else "  ") + line for at, line in enumerate(item)]
        return found

    return lines()


@settings(deadline=None)
@given(_mapping(3))
def test_nothing_is_lost_and_twice_is_as_once(lines: list[str]) -> None:
    text = "\n".join(lines) + "\n"
    try:
        before = plain(load(text, "x"))
        result = formatted(text, "x")
    except (YamlError, SlsError) as error:
        assert error.where.line
        return
    assert plain(load(result.text, "x")) == before
    assert result.text.count("#") == text.count("#")
    assert formatted(result.text, "x").text == result.text
