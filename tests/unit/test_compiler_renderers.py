"""Renderers: the first line of a file, stateconf, gpg, json, text, py, and those that are refused."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from master.compiler.compile import compile_assignment, compile_pillar
from master.compiler.gpg import decrypt_here
from master.compiler.renderers import ELSEWHERE, Pipe, StateConf, pipe
from protocol.data import Data
from protocol.errors import SlsError
from protocol.secrets import Secret
from tests.unit.compiler_tree import chunks, compiled, request


@pytest.mark.parametrize(
    ("line", "wanted"),
    [
        ("", Pipe()),
        ("#!/bin/sh", Pipe()),
        ("#!jinja|yaml", Pipe()),
        ("#! jinja | yaml ", Pipe()),
        ("#!yaml", Pipe(jinja=False)),
        ("#!jinja", Pipe()),
        ("#!json", Pipe(False, "json")),
        ("#!jinja|json", Pipe(True, "json")),
        ("#!jinja|yaml|gpg", Pipe(gpg=True)),
        ("#!yaml|gpg", Pipe(False, gpg=True)),
        ("#!gpg", Pipe(False, gpg=True)),
        ("#!py", Pipe(False, "py")),
        ("#!py|gpg", Pipe(False, "py", True)),
        ("#!stateconf", Pipe(stateconf=StateConf())),
        ("#!stateconf -Gos yaml . jinja", Pipe(stateconf=StateConf(False, True, True))),
    ],
)
def test_the_first_line_says_what_a_file_goes_through(line: str, wanted: Pipe) -> None:
    assert pipe("f.sls", f"{line}\na: b\n") == wanted


@pytest.mark.parametrize("name", sorted(ELSEWHERE))
def test_renderers_that_are_not_offered_are_refused_by_name(tmp_path: Path, name: str) -> None:
    with pytest.raises(SlsError, match=rf"main\.sls:1: the renderer '{name}' is not offered"):
        compiled(tmp_path, f"#!{name}\na: test.nop\n")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("#!jina|yaml", "did you mean 'jinja'"),
        ("#!yaml|jinja", "do not fit together"),
        ("#!jinja|py", "do not fit together"),
        ("#!gpg|yaml", "do not fit together"),
        ("#!stateconf -x yaml . jinja", "none that stateconf knows"),
        ("#!stateconf yaml . mako", "none that stateconf knows"),
        ("#!text", "must hold a mapping"),
    ],
)
def test_a_line_that_makes_no_sense_is_refused_with_its_place(tmp_path: Path, line: str, message: str) -> None:
    with pytest.raises(SlsError, match=message) as caught:
        compiled(tmp_path, f"{line}\na: test.nop\n")
    assert caught.value.where.file == "main.sls"


# --- json, py ---------------------------------------------------------------------------------------------------


def test_json_is_read_with_its_lines(tmp_path: Path) -> None:
    found = chunks(tmp_path, '#!json\n{\n\t"a": {"test.nop": []},\n "b\\/": "test.nop"}\n')
    assert set(found) == {"a", "b/"}
    with pytest.raises(SlsError, match=r"main\.sls:3: .*no JSON"):
        compiled(tmp_path, '#!json\n{"a":\n}}\n')


def test_python_runs_only_where_it_is_allowed(tmp_path: Path) -> None:
    code = "#!py\ndef run():\n    return {__sls__: {'test.nop': []}, 'm' + __grains__['id']: 'test.nop'}\n"
    with pytest.raises(SlsError, match="allow_py_renderer"):
        compiled(tmp_path, code)
    asked = request(tmp_path, code)
    allowed = replace(asked, options=replace(asked.options, allow_py=True))
    assert {chunk.id for chunk in compile_assignment(allowed).assignment.chunks} == {"main", "mm1"}
    (tmp_path / "states" / "main.sls").write_text("#!py\ndef run():\n    return 1 / 0\n")
    with pytest.raises(SlsError, match=r"main\.sls:3: Python: ZeroDivisionError"):
        compile_assignment(allowed)
    (tmp_path / "states" / "main.sls").write_text("#!py\ndef run(:\n")
    with pytest.raises(SlsError, match=r"main\.sls:2: Python: "):
        compile_assignment(allowed)


# --- stateconf --------------------------------------------------------------------------------------------------


def test_own_ids_get_the_name_of_their_file(tmp_path: Path) -> None:
    tree = {
        "a/b.sls": "#!stateconf\n.one: test.nop\n\n.two:\n  test.nop:\n    - require:\n      - test: .one\n",
        "main.sls": "include: [a.b]\nlast:\n  test.nop:\n    - require:\n      - stateconf: a.b::goal\n",
    }
    found = chunks(tmp_path, tree)
    assert set(found) == {"a.b::one", "a.b::two", "a.b::goal", "last"}
    assert found["a.b::one"].name == "one"
    order = [chunk.id for chunk in compiled(tmp_path, tree).assignment.chunks]
    assert order == ["a.b::one", "a.b::two", "a.b::goal", "last"]


def test_the_implicit_order_is_one_of_requisites(tmp_path: Path) -> None:
    text = "#!stateconf -Go yaml . jinja\nz: test.nop\na: test.nop\nm:\n  test.nop: [{require: [{test: z}]}]\n"
    result = compiled(tmp_path, text).assignment.chunks
    assert [chunk.id for chunk in result] == ["z", "a", "m"]
    assert {target for found in result[2].requisites for target in found.targets} == {0, 1}
    with pytest.raises(SlsError, match="after it in an ordered file"):
        compiled(tmp_path, "#!stateconf -o\na:\n  test.nop: [{require: [{test: b}]}]\nb: test.nop\n")


def test_parameters_are_set_by_who_extends(tmp_path: Path) -> None:
    tree = {
        "app.sls": (
            "#!stateconf\n.params:\n  stateconf.set:\n    - port: 80\n    - host: web\n"
            "# --- end of state config ---\n"
            ".run:\n  test.nop:\n    - name: {{ params.host }}:{{ params.port }}\n"
        ),
        "main.sls": "#!stateconf\ninclude: [app]\nextend:\n  app::params:\n    stateconf.set:\n      - port: 8080\n",
    }
    assert chunks(tmp_path, tree)["app::run"].name == "web:8080"
    assert chunks(tmp_path, tree, sls=("app",))["app::run"].name == "web:80"


# --- gpg --------------------------------------------------------------------------------------------------------


class Keyring:
    """A keyring that answers only for decryption."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def function(self, name: str, args: Sequence[Data], kwargs: Mapping[str, Data]) -> Data:
        raise AssertionError(f"{name} was asked for")

    def decrypt(self, message: str) -> str:
        return decrypt_here(self.folder, message)

    def encrypted(self, text: str) -> str:
        to = ["--batch", "--trust-model", "always", "--armor", "--encrypt", "-r", "m@example.org"]
        done = subprocess.run(
            ["gpg", "--homedir", str(self.folder), *to], input=text.encode(), capture_output=True, check=True
        )
        return done.stdout.decode()


@pytest.fixture(scope="module")
def keyring(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Keyring]:
    folder = tmp_path_factory.mktemp("gpg")
    folder.chmod(0o700)
    make = ["--passphrase", "", "--quick-generate-key", "m@example.org", "default", "default"]
    subprocess.run(
        ["gpg", "--homedir", str(folder), "--batch", *make],
        capture_output=True,
        check=True,
        timeout=120,
    )
    yield Keyring(folder)
    subprocess.run(["gpgconf", "--homedir", str(folder), "--kill", "gpg-agent"], capture_output=True, check=False)


def test_what_was_encrypted_is_a_secret(tmp_path: Path, keyring: Keyring) -> None:
    block = keyring.encrypted("correct horse\n").replace("\n", "\n      ")
    pillar = f"#!jinja|yaml|gpg\napp:\n  words: |\n      {block}\n  plain: {{{{ grains.id }}}}\n"
    asked = request(tmp_path, "a:\n  test.nop:\n    - name: {{ pillar.app.words }}\n", pillar=pillar)
    found = compile_pillar(asked, keyring)["app"]
    assert isinstance(found, Mapping)
    assert found["plain"] == "m1"
    assert isinstance(found["words"], Secret)
    assert found["words"].reveal() == "correct horse"


def test_a_message_for_another_key_is_told_with_its_file(tmp_path: Path, keyring: Keyring) -> None:
    pillar = "#!yaml|gpg\na: |\n  -----BEGIN PGP MESSAGE-----\n  none\n  -----END PGP MESSAGE-----\n"
    with pytest.raises(SlsError, match="cannot be decrypted") as caught:
        compile_pillar(request(tmp_path, "a: test.nop\n", pillar=pillar), keyring)
    assert caught.value.where.file == "all.sls"
    with pytest.raises(SlsError, match="cannot be read here"):
        compile_pillar(request(tmp_path, "a: test.nop\n", pillar=pillar))
    with pytest.raises(SlsError, match="no keyring is set"):
        decrypt_here(None, "x")
