"""file.append, prepend, replace, blockreplace, comment, uncomment: a part of a file's text."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.data import Data
from protocol.errors import ArgumentError, StateError
from states.file.lines import appended, prepended
from tests.unit.state_contract import check, context, plan

Args = Mapping[str, Data]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    made = tmp_path / "root"
    made.mkdir()
    return made


BLOCK = {"marker_start": "# BEGIN", "marker_end": "# END"}

SOURCES = {"salt://s": b"from source\n"}

EDITS: list[tuple[str, str, Args, str]] = [
    ("append", "a\n", {"text": "b"}, "a\nb\n"),
    ("append", "a", {"text": ["b", "c"]}, "a\nb\nc\n"),
    ("append", "a  b\n", {"text": "a b"}, "a  b\n"),
    ("append", "a  b\n", {"text": "a b", "ignore_whitespace": False}, "a  b\na b\n"),
    ("append", "foobar\n", {"text": "foo"}, "foobar\nfoo\n"),
    ("append", "x\ny\n", {"text": "y\nx\n"}, "x\ny\ny\nx\n"),
    ("append", "", {"text": 5}, "5\n"),
    ("append", "a\r\n", {"source": "salt://s"}, "a\r\nfrom source\n"),
    ("prepend", "a\n", {"text": "b"}, "b\na\n"),
    ("prepend", "a\nb\n", {"text": "b"}, "a\nb\n"),
    ("prepend", "a\nb\n", {"text": "b", "header": True}, "b\na\nb\n"),
    ("replace", "a=1\nb=1\n", {"pattern": "^a=.*$", "repl": "a=2"}, "a=2\nb=1\n"),
    ("replace", "a a a\n", {"pattern": "a", "repl": "b", "count": 2}, "b b a\n"),
    ("replace", "k: v\n", {"pattern": r"(\w+): (\w+)", "repl": r"\1=\2"}, "k=v\n"),
    ("replace", "A\n", {"pattern": "a", "repl": "b", "flags": ["IGNORECASE"]}, "b\n"),
    ("replace", "x\n", {"pattern": "x", "repl": r"\1", "backslash_literal": True}, "\\1\n"),
    ("replace", "x", {"pattern": "^k=.*", "repl": "k=1", "append_if_not_found": True}, "x\nk=1\n"),
    ("replace", "x\n", {"pattern": "^k=.*", "repl": "k=1", "prepend_if_not_found": True}, "k=1\nx\n"),
    (
        "replace",
        "x\n",
        {"pattern": "q", "repl": "r", "append_if_not_found": True, "not_found_content": "new"},
        "x\nnew\n",
    ),
    ("replace", "x\n", {"pattern": "none", "repl": "r"}, "x\n"),
    (
        "blockreplace",
        "a\n# BEGIN\nold\n# END\nz\n",
        {"content": "new\nlines", **BLOCK},
        "a\n# BEGIN\nnew\nlines\n# END\nz\n",
    ),
    ("blockreplace", "a\n# BEGIN x\n# END y\n", {"content": "new\n", **BLOCK}, "a\n# BEGIN x\nnew\n# END y\n"),
    ("blockreplace", "# BEGIN\nold\n# END\n", {**BLOCK}, "# BEGIN\n# END\n"),
    ("blockreplace", "a", {"content": "n", "append_if_not_found": True, **BLOCK}, "a\n# BEGIN\nn\n# END\n"),
    ("blockreplace", "a\n", {"content": "n", "prepend_if_not_found": True, **BLOCK}, "# BEGIN\nn\n# END\na\n"),
    ("blockreplace", "a\nb\n", {"content": "n", "insert_before_match": "^b", **BLOCK}, "a\n# BEGIN\nn\n# END\nb\n"),
    ("blockreplace", "a\nb\n", {"content": "n", "insert_after_match": "^a", **BLOCK}, "a\n# BEGIN\nn\n# END\nb\n"),
    ("blockreplace", "", {"source": "salt://s", "append_if_not_found": True, **BLOCK}, "# BEGIN\nfrom source\n# END\n"),
    ("comment", "a=1\n b=2\n#a=3\n", {"regex": "^a="}, "#a=1\n b=2\n#a=3\n"),
    ("comment", "a\nb\n", {"regex": "^[ab]$", "char": ";"}, ";a\n;b\n"),
    ("comment", "x\n", {"regex": "^nope", "ignore_missing": True}, "x\n"),
    ("uncomment", "#a=1\n#b=2\n", {"regex": "^a="}, "a=1\n#b=2\n"),
    ("uncomment", "  #  a=1\n##a=2\n", {"regex": "^a="}, "  a=1\n##a=2\n"),
]


@pytest.mark.parametrize(("fun", "old", "args", "new"), EDITS)
def test_edits(root: Path, fun: str, old: str, args: Args, new: str) -> None:
    (root / "f").write_bytes(old.encode())
    (root / "f").chmod(0o604)
    done = check(f"file.{fun}", "/f", args, root, sources=SOURCES, idempotent="count" not in args)
    assert (root / "f").read_bytes().decode() == new
    assert (root / "f").stat().st_mode & 0o777 == 0o604
    assert [change.aspect for change in done.changes] == (["content"] if old != new else [])


def test_bytes_that_are_no_text_stay(root: Path) -> None:
    (root / "f").write_bytes(b"\xff\xfe\nkey=1\n")
    check("file.replace", "/f", {"pattern": "key=1", "repl": "key=2"}, root)
    assert (root / "f").read_bytes() == b"\xff\xfe\nkey=2\n"


def test_append_makes_the_file(root: Path) -> None:
    check("file.append", "/d/f", {"text": "a", "makedirs": True}, root)
    assert (root / "d/f").read_text() == "a\n"


FAILURES: list[tuple[str, str | None, Args, str]] = [
    ("replace", None, {"pattern": "a", "repl": "b"}, "no such file"),
    ("blockreplace", "x\n", {**BLOCK, "content": "y"}, "the markers are not there"),
    ("blockreplace", "# BEGIN\nx\n", {**BLOCK, "content": "y"}, "the block has no end"),
    ("blockreplace", "x\n", {**BLOCK, "insert_before_match": "q"}, "no line fits"),
    ("comment", "x\n", {"regex": "nope"}, "no line fits"),
    ("uncomment", "x\n", {"regex": "nope"}, "no line fits"),
]


@pytest.mark.parametrize(("fun", "old", "args", "message"), FAILURES)
def test_failures(root: Path, fun: str, old: str | None, args: Args, message: str) -> None:
    if old is not None:
        (root / "f").write_text(old)
    with pytest.raises(StateError, match=message):
        plan(context(root), f"file.{fun}", "/f", args)


WRONG: list[tuple[str, Args, str]] = [
    ("replace", {"pattern": "(", "repl": ""}, "not a regular expression"),
    ("replace", {"pattern": "x", "repl": r"\7"}, "repl cannot be used"),
    ("replace", {"pattern": "x", "repl": "", "flags": ["LOUD"]}, "'LOUD' is no flag"),
    ("blockreplace", {**BLOCK, "content": "# END"}, "holds a marker"),
    ("blockreplace", {"marker_start": "", "marker_end": "x"}, "one line that is not empty"),
    ("blockreplace", {**BLOCK, "append_if_not_found": True, "prepend_if_not_found": True}, "only one place"),
    ("append", {}, "text is missing"),
    ("append", {"text": "a", "source": "salt://s"}, "exclude each other"),
]


@pytest.mark.parametrize(("fun", "args", "message"), WRONG)
def test_wrong_arguments(root: Path, fun: str, args: Args, message: str) -> None:
    (root / "f").write_text("x\n")
    with pytest.raises(ArgumentError, match=message):
        plan(context(root), f"file.{fun}", "/f", args)


def test_a_file_that_an_earlier_step_makes(root: Path) -> None:
    ahead = context(root, test=True, pending=True)
    done = plan(ahead, "file.replace", "/f", {"pattern": "a", "repl": "b"})
    assert "not there yet" in done.comment
    assert (
        plan(context(root), "file.replace", "/f", {"pattern": "a", "repl": "b", "ignore_if_missing": True}).changes
        == ()
    )


TEXT = st.text(alphabet="ab \t#=\n\r\x0b\u2028", max_size=12)


@given(TEXT, st.lists(TEXT, max_size=3), st.booleans())
def test_append_keeps_all_and_is_idempotent(old: str, texts: list[str], ignore: bool) -> None:
    new = appended(old, texts, ignore_whitespace=ignore)
    assert new.startswith(old)
    assert appended(new, texts, ignore_whitespace=ignore) == new


@given(TEXT, st.lists(TEXT, max_size=3), st.booleans())
def test_prepend_keeps_all_and_is_idempotent(old: str, texts: list[str], header: bool) -> None:
    new = prepended(old, texts, header=header)
    assert new.endswith(old)
    assert prepended(new, texts, header=header) == new


@given(old=TEXT, repl=st.text(alphabet="ab= ", max_size=6), where=st.sampled_from(["append", "prepend"]))
def test_replace_or_insert_is_idempotent(
    tmp_path_factory: pytest.TempPathFactory, old: str, repl: str, where: str
) -> None:
    root = tmp_path_factory.mktemp("any") / "root"
    root.mkdir()
    (root / "f").write_bytes(old.encode())
    args: Args = {"pattern": "^#=.*$", "repl": "#=" + repl, f"{where}_if_not_found": True}
    check("file.replace", "/f", args, root)
    assert f"#={repl}" in (root / "f").read_bytes().decode()


@given(old=TEXT, content=TEXT.filter(lambda text: "#" not in text), where=st.sampled_from(["append", "prepend"]))
def test_a_block_is_kept_and_nothing_else_touched(
    tmp_path_factory: pytest.TempPathFactory, old: str, content: str, where: str
) -> None:
    root = tmp_path_factory.mktemp("any") / "root"
    root.mkdir()
    (root / "f").write_bytes(old.encode())
    args: Args = {"content": content, "marker_start": "<<<", "marker_end": ">>>", f"{where}_if_not_found": True}
    check("file.blockreplace", "/f", args, root)
    new = (root / "f").read_bytes().decode()
    block = "".join(f"{line}\n" for line in (content.removesuffix("\n").split("\n") if content else []))
    assert f"<<<\n{block}>>>\n" in new
    rest = new.replace(f"<<<\n{block}>>>\n", "", 1)
    assert rest in (old, old + "\n")
