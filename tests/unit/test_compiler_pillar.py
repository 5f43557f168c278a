"""Pillar: top file, merging, includes, the override, and what in it is secret."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from master.compiler.compile import compile_pillar
from master.compiler.secretwords import SecretWords
from master.compiler.trees import TreeOptions
from protocol.errors import SlsError
from protocol.secrets import Secret, reveal
from tests.unit.compiler_tree import chunks, compiled, request

CEPHX = "AQ" + "B" * 36 + "=="
PEM = "-----BEGIN RSA PRIVATE KEY-----\nabc\n-----END RSA PRIVATE KEY-----\n"


def _pillar(tmp_path: Path, files: dict[str, str], **more: Any) -> Any:
    return reveal(compile_pillar(request(tmp_path, {}, pillar=files, **more)))


def test_later_files_are_merged_over_earlier_ones(tmp_path: Path) -> None:
    files = {
        "top.sls": "base:\n  '*': [a, b]\n  'G@os:Debian': [c]\n  'other': [d]\n",
        "a.sls": "x: {p: 1, q: [1], r: {s: 1}}\ny: 1\n",
        "b.sls": "x: {q: [2], r: {t: 2}}\ny: {z: 1}\n",
        "c.sls": "os: {{ grains.os }}\n",
        "d.sls": "d: 1\n",
    }
    assert _pillar(tmp_path, files, grains={"os": "Debian"}) == {
        "x": {"p": 1, "q": [2], "r": {"s": 1, "t": 2}},
        "y": {"z": 1},
        "os": "Debian",
    }


def test_includes_are_merged_below_the_file(tmp_path: Path) -> None:
    files = {
        "top.sls": "base:\n  '*': [a]\n",
        "a/init.sls": "include:\n  - .b\n  - c:\n      defaults: {n: 5}\n      key: deep:er\nx: {own: 1, both: own}\n",
        "a/b.sls": "include: [a]\nx: {below: 1, both: below}\n",
        "c.sls": "n: {{ n }}\n",
    }
    assert _pillar(tmp_path, files) == {"x": {"below": 1, "both": "own", "own": 1}, "deep": {"er": {"n": 5}}}


def test_options_of_a_target_order_and_ignore(tmp_path: Path) -> None:
    files = {
        "top.sls": "base:\n  '*':\n    - order: 2\n    - late\n"
        "  'm*':\n    - ignore_missing: true\n    - early\n    - gone\n",
        "late.sls": "x: late\n",
        "early.sls": "x: early\n",
    }
    assert _pillar(tmp_path, files) == {"x": "late"}


def test_the_override_is_merged_last_and_seen_while_rendering(tmp_path: Path) -> None:
    files = {"top.sls": "base:\n  '*': [a]\n", "a.sls": "seen: {{ pillar.get('x', {}).get('n') }}\nx: {n: 1, m: 1}\n"}
    assert _pillar(tmp_path, files, pillar_override={"x": {"n": 7}}) == {"seen": 7, "x": {"n": 7, "m": 1}}


def test_without_a_top_file_there_is_no_pillar(tmp_path: Path) -> None:
    assert _pillar(tmp_path, {"a.sls": "x: 1\n"}) == {}


@pytest.mark.parametrize(
    ("files", "place", "message"),
    [
        ({"top.sls": "base:\n  '*':\n    - nome\n", "name.sls": ""}, "top.sls:3", "there is no pillar 'nome'"),
        ({"top.sls": "prod:\n  '*': [a]\n"}, "top.sls:1", "names the environment 'prod'"),
        ({"top.sls": "base: [a]\n"}, "top.sls:1", "must be a mapping of targets"),
        ({"top.sls": "base:\n  '*': {a: 1}\n"}, "top.sls:2", "must have a list"),
        ({"top.sls": "base:\n  '*': [5]\n"}, "top.sls:2", "is no SLS name"),
        ({"top.sls": "base:\n  'a and':\n    - a\n"}, "top.sls:2", "cannot be read"),
        ({"top.sls": "base:\n  'a':\n    - match: magic\n    - a\n"}, "top.sls:2", "unknown 'match': 'magic'"),
        ({"top.sls": "base:\n  '*': [a]\n", "a.sls": "\n{{ x }}\n"}, "a.sls:2", "'x' is undefined"),
        ({"top.sls": "base:\n  '*': [a]\n", "a.sls": "include: [b]\n"}, "a.sls:1", "there is no pillar 'b'"),
        ({"top.sls": "base:\n  '*': [a]\n", "a.sls": "include: [...b]\n"}, "a.sls:1", "above the top"),
        ({"top.sls": "base:\n  '*': [a]\n", "a.sls": "x: y: z\n"}, "a.sls:1", "mapping values"),
    ],
)
def test_a_mistake_is_told_with_its_place(tmp_path: Path, files: dict[str, str], place: str, message: str) -> None:
    with pytest.raises(SlsError) as caught:
        _pillar(tmp_path, files)
    assert str(caught.value.where).startswith(place)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("text", "match", "matches"),
    [
        ("m1", "glob", True),
        ("G@os:Debian and not E@m2", "compound", True),
        ("a,m1", "list", True),
        ("os:Deb*", "grain", True),
        ("mons", "nodegroup", True),
        ("10.0.0.0/8", "ipcidr", True),
        ("m[2-9]", "pcre", False),
    ],
)
def test_targets_of_every_kind_assign(tmp_path: Path, text: str, match: str, matches: bool) -> None:
    files = {"top.sls": f"base:\n  '{text}':\n    - match: {match}\n    - a\n", "a.sls": "x: 1\n"}
    grains = {"os": "Debian", "ipv4": ["10.1.1.1"]}
    found = _pillar(tmp_path, files, grains=grains, nodegroups={"mons": "m1 or m3"})
    assert found == ({"x": 1} if matches else {})


@pytest.mark.parametrize(
    ("key", "secret"),
    [
        ("password", True),
        ("admin_password", True),
        ("adminPassword", True),
        ("RGW-SECRET", True),
        ("key", True),
        ("private_key", True),
        ("keyring", True),
        ("api_token", True),
        ("passphrase", True),
        ("public_key", False),
        ("key_url", False),
        ("password_file", False),
        ("keyboard", False),
        ("monkey", False),
        ("tokenizer", False),
        ("user", False),
    ],
)
def test_a_key_says_whether_its_value_is_secret(key: str, secret: bool) -> None:
    words = SecretWords()
    assert isinstance(words.marked("value", key), Secret) is secret
    assert isinstance(words.marked({"a": [{key: "value"}]})["a"][0][key], Secret) is secret  # type: ignore[index,call-overload]


def test_what_looks_like_a_secret_is_one() -> None:
    words = SecretWords()
    for value in (CEPHX, PEM, f"[client.admin]\n\tkey = {CEPHX}\n"):
        assert isinstance(words.marked(value, "anything"), Secret)


def test_all_below_a_plural_is_secret_and_numbers_too() -> None:
    marked = SecretWords().marked({"passwords": {"db": "a", "x": {"y": ["b"]}}, "tokens": ["c"], "password": 123456})
    assert repr(marked) == "{'passwords': {'db': ***, 'x': {'y': [***]}}, 'tokens': [***], 'password': ***}"
    assert SecretWords().marked({"password": "", "secret": None, "key": True}) == {
        "password": "",
        "secret": None,
        "key": True,
    }


def test_secrets_of_the_pillar_are_secrets_of_the_assignment(tmp_path: Path) -> None:
    text = (
        "a:\n  file.managed:\n    - name: /a\n    - contents: 'user {{ pillar.db.password }}'\n"
        "b:\n  file.managed:\n    - name: /b\n    - contents: '{{ pillar.db.user }} {{ pillar.other.secret }}'\n"
    )
    pillar = "db: {password: hunter2-hunter2, user: root}\nother: {secret: s}\nunused: {token: tok-tok-tok}\n"
    result = compiled(tmp_path, text, pillar=pillar)
    found = {chunk.id: chunk for chunk in result.assignment.chunks}
    assert isinstance(found["a"].args["contents"], Secret)
    assert found["a"].args["contents"].reveal() == "user hunter2-hunter2"
    assert found["b"].args["contents"] == "root s"
    assert result.assignment.secrets == ("hunter2-hunter2",)
    assert repr(result.pillar["db"]) == "{'password': ***, 'user': 'root'}"


def test_secrets_in_rendered_files_and_names_are_known_too(tmp_path: Path) -> None:
    files = {
        "main.sls": (
            "a:\n  file.managed:\n    - name: /a\n    - source: salt://x\n    - template: jinja\n"
            "b:\n  test.nop:\n    - name: echo {{ pillar.token }}\n"
        ),
        "x": "key = {{ pillar.keyring }}\n",
    }
    result = compiled(tmp_path, files, pillar=f"keyring: {CEPHX}\ntoken: abc-def-ghi\n")
    assert result.assignment.secrets == (CEPHX, "abc-def-ghi")


def test_a_secret_argument_is_secret_wherever_it_comes_from(tmp_path: Path) -> None:
    text = "a:\n  file.managed:\n    - contents: {password: typed-here, key: plain}\n"
    result = compiled(tmp_path, text)
    assert repr(result.assignment.chunks[0].args) == "{'contents': {'password': ***, 'key': 'plain'}}"
    assert result.assignment.secrets == ("typed-here",)


def test_a_secret_of_the_override_reaches_templates_and_stays_one(tmp_path: Path) -> None:
    text = "a:\n  file.managed:\n    - contents: '{{ pillar.word }}'\n"
    result = compiled(tmp_path, text, pillar_override={"word": Secret("open-sesame")})
    assert repr(result.pillar) == "{'word': ***}"
    assert repr(result.assignment.chunks[0].args) == "{'contents': ***}"
    assert result.assignment.secrets == ("open-sesame",)


SECRETS = {"a.sls": "include: [b]\nx: 1\n", "b.sls": "\ndb: {password: hunter2-hunter2}\n"}


@pytest.mark.parametrize(
    "target", ["G@role:db", "* and G@role:db", "not G@role:web", "S@10.0.0.0/8", "N@dbs", "m1 and not G@role:web"]
)
def test_secrets_are_not_assigned_by_what_a_minion_reports_of_itself(tmp_path: Path, target: str) -> None:
    files = {"top.sls": f"base:\n  '{target}': [a]\n", **SECRETS}
    grains = {"role": "db", "ipv4": ["10.0.0.1"]}
    asked: dict[str, Any] = {"grains": grains, "nodegroups": {"dbs": "G@role:db"}}
    with pytest.raises(SlsError, match=r"b.sls:2: 'db' holds a secret, and the top file assigns this file by grains"):
        _pillar(tmp_path, files, trees=TreeOptions(strict_pillar_targets=True), **asked)
    result = compiled(tmp_path, "x:\n  test.nop: []\n", pillar=files, **asked)
    assert reveal(result.pillar) == {"x": 1, "db": {"password": "hunter2-hunter2"}}
    (warning,) = result.warnings
    assert warning.startswith("b.sls:2: 'db' holds a secret, and the top file assigns this file by grains (top.sls:2)")
    assert "hunter2" not in warning


@pytest.mark.parametrize("target", ["*", "m1", "m1 or G@role:db", "L@m1,m2", "N@named", "G@id:m1", "not m2"])
def test_secrets_are_assigned_by_proven_ids(tmp_path: Path, target: str) -> None:
    files = {"top.sls": f"base:\n  '{target}': [a]\n", **SECRETS}
    grains = {"role": "db", "id": "m2"}
    strict = TreeOptions(strict_pillar_targets=True)
    found = _pillar(tmp_path, files, grains=grains, nodegroups={"named": ["m1"]}, trees=strict)
    assert found == {"x": 1, "db": {"password": "hunter2-hunter2"}}


def test_a_file_that_an_id_assigns_too_may_hold_secrets(tmp_path: Path) -> None:
    files = {"top.sls": "base:\n  'G@role:db': [a]\n  'm1': [a]\n", **SECRETS}
    strict = TreeOptions(strict_pillar_targets=True)
    assert _pillar(tmp_path, files, grains={"role": "db"}, trees=strict)["x"] == 1


def test_a_state_top_file_gives_the_highstate(tmp_path: Path) -> None:
    files = {
        "top.sls": "base:\n  'I@role:mon': [mon, common.*]\n  '*': [mon]\n  'x': [x]\n",
        "mon.sls": "m: test.nop\n",
        "common/a.sls": "a: test.nop\n",
    }
    assert sorted(chunks(tmp_path, files, sls=(), pillar="role: mon\n")) == ["a", "m"]


def test_a_minion_that_the_top_file_does_not_name_is_told(tmp_path: Path) -> None:
    with pytest.raises(SlsError, match="the top file gives nothing to m1"):
        compiled(tmp_path, {"top.sls": "base:\n  'x': [x]\n"}, sls=())
