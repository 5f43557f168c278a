"""The files of an assignment: sources by digest, templates rendered on the master, contents from pillar."""

from __future__ import annotations

from pathlib import Path

import pytest

from master.compiler import blobs
from master.compiler.compile import Compiled, Request, Roots, compile_assignment
from protocol.assignment import BlobRef, digest
from protocol.errors import SlsError
from tests.unit.compiler_tree import chunks, compiled, write


def _content(result: Compiled, ref: BlobRef) -> bytes:
    found = result.blobs[ref.digest]
    content = found if isinstance(found, bytes) else found.read_bytes()
    assert digest(content) == ref.digest
    assert len(content) == ref.size
    return content


def _managed(*arguments: str) -> str:
    return "a:\n  file.managed:\n    - name: /a\n" + "".join(f"    - {argument}\n" for argument in arguments)


def test_a_source_is_sent_by_digest(tmp_path: Path) -> None:
    result = compiled(tmp_path, {"main.sls": _managed("source: salt://d/x.bin"), "d/x.bin": b"\x00\xff"})
    (chunk,) = result.assignment.chunks
    assert chunk.args == {"source": "salt://d/x.bin"}
    assert _content(result, chunk.sources["salt://d/x.bin"]) == b"\x00\xff"


def test_a_large_file_is_sent_by_its_path(tmp_path: Path) -> None:
    content = b"x" * (blobs.SMALL + 1)
    result = compiled(tmp_path, {"main.sls": _managed("source: salt://big"), "big": content})
    (ref,) = result.assignment.blobs()
    assert result.blobs[ref.digest] == (tmp_path / "states/big").resolve()
    assert _content(result, ref) == content


def test_of_a_list_the_first_source_that_is_there_is_taken(tmp_path: Path) -> None:
    text = _managed("source: [salt://no, /on/host, salt://x, salt://y]")
    chunk = chunks(tmp_path, {"main.sls": text, "x": "x", "y": "y"})["a"]
    assert chunk.args["source"] == ["/on/host", "salt://x"]
    assert list(chunk.sources) == ["salt://x"]


@pytest.mark.parametrize(
    ("arguments", "line", "message"),
    [
        (["source: salt://d/y.conf"], 4, "there is no file salt://d/y.conf for file.managed (id 'a') (did you mean"),
        (["source: [salt://p, salt://q]"], 4, "looked for salt://p, salt://q"),
        (["source: salt://../../etc/passwd"], 4, "there is no file salt://../../etc/passwd"),
        (["source: salt://link/passwd"], 4, "there is no file salt://link/passwd"),
        (["source: salt://d/x.conf?saltenv=prod"], 4, "there is no environment 'prod'"),
        (["source: salt://d/x.conf", "template: mako"], 5, "the template engine 'mako'"),
        (["source: salt://d/x.conf", "template: jinja", "context: [a]"], 6, "'context' of file.managed"),
        (["contents_pillar: no:key"], 4, "names 'no:key', which the pillar does not have"),
    ],
)
def test_a_file_that_is_not_there_is_told(tmp_path: Path, arguments: list[str], line: int, message: str) -> None:
    states = tmp_path / "states"
    states.mkdir()
    (states / "link").symlink_to("/etc")
    with pytest.raises(SlsError) as caught:
        compiled(tmp_path, {"main.sls": _managed(*arguments), "d/x.conf": "x"})
    assert str(caught.value.where) == f"main.sls:{line}"
    assert message in str(caught.value)


def test_a_template_is_rendered_with_defaults_and_context(tmp_path: Path) -> None:
    text = _managed("source: salt://x.j2", "template: jinja", "mode: 600", "defaults: {p: 1, q: 1}", "context: {q: 2}")
    template = (
        "{{ p }}{{ q }} {{ name }} {{ mode }} {{ source }} {{ grains.os }} {{ pillar.k }} {{ sls }}|{{ tpldir }}\n"
    )
    result = compiled(tmp_path, {"main.sls": text, "x.j2": template}, grains={"os": "Debian"}, pillar="k: v\n")
    (chunk,) = result.assignment.chunks
    assert chunk.args == {"source": "salt://x.j2", "mode": "600"}
    assert _content(result, chunk.sources["salt://x.j2"]) == b"12 /a 600 salt://x.j2 Debian v main|.\n"


def test_a_template_may_import_and_keeps_its_last_newline(tmp_path: Path) -> None:
    files = {
        "main.sls": _managed("source: salt://t/x.j2", "template: jinja"),
        "t/x.j2": "{% from './m.jinja' import f with context %}{{ f() }}\n\n",
        "t/m.jinja": "{% macro f() %}{{ pillar.k }}{% endmacro %}",
    }
    result = compiled(tmp_path, files, pillar="k: v\n")
    (ref,) = result.assignment.blobs()
    assert _content(result, ref) == b"v\n\n"


def test_an_error_in_a_template_names_the_template(tmp_path: Path) -> None:
    files = {"main.sls": _managed("source: salt://x.j2", "template: jinja"), "x.j2": "\n\n{{ nope }}\n"}
    with pytest.raises(SlsError, match=r"x.j2:3: undefined in a template: 'nope'"):
        compiled(tmp_path, files)


def test_contents_may_be_a_template_or_come_from_pillar(tmp_path: Path) -> None:
    text = (
        _managed("contents: '{% raw %}{{ pillar.k }} {{ x }}{% endraw %}'", "template: jinja", "context: {x: 1}")
        + "b:\n  file.managed:\n    - contents_pillar: n:text\n"
        + "c:\n  file.managed:\n    - contents_grains: os\n"
        + "d:\n  file.managed:\n    - contents_pillar: [k, n:text]\n"
    )
    found = chunks(tmp_path, text, pillar="k: v\nn: {text: deep}\n", grains={"os": "Debian"})
    assert found["a"].args == {"contents": "v 1"}
    assert found["b"].args == {"contents": "deep"}
    assert found["c"].args == {"contents": "Debian"}
    assert found["d"].args == {"contents": ["v", "deep"]}


def test_an_error_in_contents_names_the_line_of_the_contents(tmp_path: Path) -> None:
    text = _managed("template: jinja", "contents: '{% raw %}{{ nope }}{% endraw %}'")
    with pytest.raises(SlsError, match=r"main.sls:5: undefined in a template: 'nope'"):
        compiled(tmp_path, text)


def test_a_folder_is_sent_file_by_file(tmp_path: Path) -> None:
    text = (
        "a:\n  file.recurse:\n    - name: /d\n    - source: salt://d/\n    - template: jinja\n    - context: {x: 1}\n"
        "    - exclude_pat: '*.bak'\n"
    )
    files = {"main.sls": text, "d/one": "{{ x }}", "d/sub/two": "{{ source }}", "d/no.bak": "{{ broken", "e": ""}
    result = compiled(tmp_path, files)
    (chunk,) = result.assignment.chunks
    assert {name: _content(result, ref) for name, ref in chunk.sources.items()} == {
        "salt://d/one": b"1",
        "salt://d/sub/two": b"salt://d/sub/two",
    }


@pytest.mark.parametrize("source", ["source: salt://none", "source: /on/host", "user: root"])
def test_a_folder_must_be_in_the_tree(tmp_path: Path, source: str) -> None:
    with pytest.raises(SlsError, match=r"file\.recurse \(id 'a'\)"):
        compiled(tmp_path, f"a:\n  file.recurse:\n    - name: /d\n    - {source}\n")


def test_a_name_and_any_argument_may_be_a_source(tmp_path: Path) -> None:
    text = "a:\n  file.append:\n    - name: /a\n    - sources: [salt://x, salt://y]\n"
    chunk = chunks(tmp_path, {"main.sls": text, "x": "1", "y": "2"})["a"]
    assert sorted(chunk.sources) == ["salt://x", "salt://y"]


def test_only_sources_are_templates(tmp_path: Path) -> None:
    text = _managed("source: salt://x", "source_hash: salt://y", "template: jinja", "context: {z: salt://nowhere}")
    result = compiled(tmp_path, {"main.sls": text, "x": "{{ z }}", "y": "{{ raw }}"})
    sources = result.assignment.chunks[0].sources
    assert {name: _content(result, ref) for name, ref in sources.items()} == {
        "salt://x": b"salt://nowhere",
        "salt://y": b"{{ raw }}",
    }


def test_a_source_is_of_the_environment_of_its_file(tmp_path: Path) -> None:
    base = write(tmp_path / "base", {"main.sls": "include: [prod: p]\n", "x": "base"})
    prod = write(
        tmp_path / "prod", {"p.sls": _managed("source: salt://x", "source_hash: salt://x?saltenv=base"), "x": "p"}
    )
    roots = Roots({"base": (base,), "prod": (prod,)}, formulas=False)
    result = compile_assignment(Request("m1", {}, roots, ("main",)))
    sources = result.assignment.chunks[0].sources
    assert _content(result, sources["salt://x"]) == b"p"
    assert _content(result, sources["salt://x?saltenv=base"]) == b"base"


def test_text_that_begins_like_a_source_is_text(tmp_path: Path) -> None:
    assert chunks(tmp_path, _managed("contents: salt://nowhere"))["a"].sources == {}


def test_the_first_root_wins(tmp_path: Path) -> None:
    first = write(tmp_path / "first", {"x": "first"})
    second = write(tmp_path / "second", {"x": "second", "y": "y", "main.sls": _managed("source: salt://x")})
    result = compile_assignment(Request("m1", {}, Roots({"base": (first, second)}, formulas=False), ("main",)))
    (ref,) = result.assignment.blobs()
    assert _content(result, ref) == b"first"
