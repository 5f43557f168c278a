"""Further sources of pillar: what each gives, what it refuses, and that its secrets are secrets."""

from __future__ import annotations

import json
import sqlite3
import sys
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from master.compiler.external import check_sources
from master.compiler.trees import TreeOptions
from protocol.data import Data
from protocol.errors import ConfigError, SlsError
from protocol.secrets import Secret, reveal
from tests.unit.compiler_tree import compiled, write
from tests.unit.fake_vault import TOKEN, FakeVault

NOP = "x:\n  test.nop: []\n"


def _marked(tmp_path: Path, *sources: Mapping[str, Any], pillar: str = "{}", **more: Any) -> Any:
    python = tuple(more.pop("python", ()))
    first = bool(more.pop("first", False))
    trees = TreeOptions(ext_pillar=sources, ext_pillar_python=python, ext_pillar_first=first)
    check_sources(trees.ext_pillar, python)
    return compiled(tmp_path, NOP, pillar=pillar, trees=trees, **more).pillar


def _pillar(tmp_path: Path, *sources: Mapping[str, Any], **more: Any) -> Any:
    return reveal(_marked(tmp_path, *sources, **more))


def _script(tmp_path: Path, text: str) -> list[Data]:
    path = tmp_path / "print.py"
    path.write_text(text)
    return [sys.executable, str(path), "{minion}"]


# --- order ----------------------------------------------------------------------------------------------------


def test_sources_come_after_the_files_and_before_the_override(tmp_path: Path) -> None:
    command = _script(tmp_path, "import sys; print('{a: 2, b: {d: ' + sys.argv[1] + '}}')")
    found = _pillar(tmp_path, {"cmd_yaml": command}, pillar="a: 1\nb: {c: 1}\n", pillar_override={"b": {"e": 3}})
    assert found == {"a": 2, "b": {"c": 1, "d": "m1", "e": 3}}


def test_sources_that_come_first_are_seen_and_overwritten(tmp_path: Path) -> None:
    command = _script(tmp_path, "print('{role: osd, n: 1}')")
    files = {"top.sls": "base:\n  'I@role:osd': [a]\n", "a.sls": "n: 2\nseen: {{ pillar.role }}\n"}
    assert _pillar(tmp_path, {"cmd_yaml": command}, pillar=files, first=True) == {"role": "osd", "n": 2, "seen": "osd"}
    assert _pillar(tmp_path, {"cmd_yaml": command}, pillar=files) == {"role": "osd", "n": 1}


def test_a_pillar_target_before_there_is_pillar_is_told(tmp_path: Path) -> None:
    warnings = compiled(tmp_path, NOP, pillar={"top.sls": "base:\n  'I@a:b': [a]\n"}).warnings
    assert warnings == ("top.sls:2: 'I@a:b' asks for pillar, and there is none yet: it matches nobody",)


# --- commands -------------------------------------------------------------------------------------------------


def test_a_command_prints_json(tmp_path: Path) -> None:
    command = _script(tmp_path, "import json, os; print(json.dumps({'me': os.environ['STACKMASTER_MINION']}))")
    assert _pillar(tmp_path, {"cmd_json": {"command": command}}) == {"me": "m1"}


@pytest.mark.parametrize(
    ("script", "options", "message"),
    [
        ("import sys; sys.exit('no such host')", {}, "no such host"),
        ("print('x' * 2000)", {"most": 1000}, "printed more than 1000 bytes"),
        ("print('x' * 5_000_000)", {}, "printed more than 524288 bytes"),
        ("import time; time.sleep(60)", {"deadline": 0.2}, r"did not end within 0.2 s"),
        ("print('[1]')", {}, "it gave list where pillar is a mapping"),
        ("print('a: [')", {}, r"did not find expected node content"),
        ("print('a: !!python/object/apply:os.getpid []')", {}, "the tag .* is refused"),
    ],
)
def test_a_command_that_fails_refuses_the_job(
    tmp_path: Path, script: str, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(SlsError, match=message) as caught:
        _pillar(tmp_path, {"cmd_yaml": {"command": _script(tmp_path, script), **options}})
    assert caught.value.where.file == "ext_pillar 1 (cmd_yaml)"


def test_what_is_no_json_is_told(tmp_path: Path) -> None:
    with pytest.raises(SlsError, match="printed no JSON"):
        _pillar(tmp_path, {"cmd_json": _script(tmp_path, "print('a: 1')")})
    with pytest.raises(SlsError, match="there is no command /nonexistent"):
        _pillar(tmp_path, {"cmd_json": ["/nonexistent"]})


# --- files ----------------------------------------------------------------------------------------------------


def test_files_of_the_host_win_over_those_of_its_groups(tmp_path: Path) -> None:
    write(
        tmp_path / "tree",
        {
            "hosts/m1/ssl/cert": "mine\n",
            "hosts/m1/raw": "kept\n",
            "hosts/m2/other": "x",
            "nodegroups/all/ssl/cert": "ours\n",
            "nodegroups/all/ssl/ca": "ca\n",
            "nodegroups/claimed/secret": "x",
            "nodegroups/not-there/x": "x",
        },
    )
    (tmp_path / "tree/hosts/m1/link").symlink_to("/etc/passwd")
    groups = {"all": "m*", "claimed": "G@os:Debian", "not-there": ["m2"]}
    source = {"file_tree": {"root_dir": str(tmp_path / "tree"), "keep_newline": ["ra*"]}}
    found = _pillar(tmp_path, source, nodegroups=groups, grains={"os": "Debian"})
    assert found == {"ssl": {"cert": "mine", "ca": "ca"}, "raw": "kept\n"}
    (tmp_path / "tree/hosts/m1/binary").write_bytes(b"\xff\xfe")
    with pytest.raises(SlsError, match="binary is no UTF-8 text"):
        _pillar(tmp_path, source)


# --- databases ------------------------------------------------------------------------------------------------


def _database(tmp_path: Path) -> str:
    path = tmp_path / "site.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("create table hosts (minion text, name text, value text, extra int)")
        rows = [("m1", "rack", "r1", 1), ("m1", "disk", "sda", 2), ("m1", "disk", "sdb", 3), ("m2", "rack", "r2", 4)]
        connection.executemany("insert into hosts values (?, ?, ?, ?)", rows)
        connection.commit()
    return str(path)


@pytest.mark.parametrize(
    ("query", "tree"),
    [
        ("select name, value from hosts where minion = %s", {"rack": "r1", "disk": "sdb"}),
        (
            {"query": "select name, value from hosts where minion = ?", "as_list": True, "key": "site:own"},
            {"site": {"own": {"rack": "r1", "disk": ["sda", "sdb"]}}},
        ),
        (
            {"query": "select name, value, extra from hosts where minion = ? and name = 'rack'", "depth": 1},
            {"rack": {"value": "r1", "extra": 1}},
        ),
        (
            "select name, value, extra from hosts where minion = ?",
            {"rack": {"r1": 1}, "disk": {"sda": 2, "sdb": 3}},
        ),
        ({"query": "select count(*) as hosts from hosts"}, {"hosts": 4}),
        ({"query": "select 'a', null", "ignore_null": True}, {}),
    ],
)
def test_rows_become_a_tree(tmp_path: Path, query: Data, tree: Data) -> None:
    source = {"sql": {"database": _database(tmp_path), "queries": [query]}}
    assert _pillar(tmp_path, source) == tree


def test_a_database_is_only_read_and_not_for_ever(tmp_path: Path) -> None:
    database = _database(tmp_path)
    endless = "with recursive n(i) as (select 1 union all select i + 1 from n) select max(i) from n"
    cases = [
        ("delete from hosts", "attempt to write a readonly database"),
        ("select missing from hosts", "no such column"),
        (endless, "it took more than 0.3 s"),
    ]
    for query, message in cases:
        with pytest.raises(SlsError, match=message):
            _pillar(tmp_path, {"sql": {"database": database, "queries": [query], "deadline": 0.3}})
    with pytest.raises(SlsError, match="cannot be opened"):
        _pillar(tmp_path, {"sql": {"database": str(tmp_path / "gone.db"), "queries": ["select 1"]}})


# --- Vault ----------------------------------------------------------------------------------------------------


@pytest.fixture
def vault() -> Iterator[FakeVault]:
    with FakeVault() as fake:
        yield fake


def _vault(tmp_path: Path, vault: FakeVault, **more: Any) -> dict[str, Any]:
    token = tmp_path / "token"
    token.write_text(f"{TOKEN}\n")
    token.chmod(0o600)
    return {"vault": {"url": vault.url, "token_file": str(token), "path": "secret/minions/{minion}", **more}}


def test_vault_gives_secrets(tmp_path: Path, vault: FakeVault) -> None:
    vault.secrets["secret/data/minions/m1"] = {"data": {"dsn": "mysql://nova:pass-word@db", "pin": 123456, "on": True}}
    found = _marked(tmp_path, _vault(tmp_path, vault, nesting_key="nova:db"))
    assert reveal(found) == {"nova": {"db": {"dsn": "mysql://nova:pass-word@db", "pin": "123456", "on": True}}}
    assert isinstance(found["nova"]["db"]["dsn"], Secret)
    assert isinstance(found["nova"]["db"]["pin"], Secret)
    assert vault.asked == ["/v1/secret/data/minions/m1"]


def test_what_vault_gives_is_hidden_in_what_states_make_of_it(tmp_path: Path, vault: FakeVault) -> None:
    vault.secrets["secret/data/minions/m1"] = {"data": {"word": "open-sesame"}}
    trees = TreeOptions(ext_pillar=(_vault(tmp_path, vault),))
    state = "/f:\n  file.managed:\n    - contents: 'dsn={{ pillar.word }}@db'\n"
    result = compiled(tmp_path, state, trees=trees)
    assert repr(result.assignment.chunks[0].args) == "{'contents': ***}"
    assert "open-sesame" in result.assignment.secrets


def test_vault_of_version_1_and_several_paths(tmp_path: Path, vault: FakeVault) -> None:
    vault.secrets |= {"kv/all": {"a": 1, "b": {"c": 1}}, "kv/m1": {"b": {"d": 2}}}
    source = _vault(tmp_path, vault, kv=1, path="kv/all", paths=["kv/{minion}", "kv/absent"], missing="ignore")
    assert _pillar(tmp_path, source) == {"a": 1, "b": {"c": 1, "d": 2}}


@pytest.mark.parametrize(
    ("status", "message"),
    [
        (404, "Vault has no secret 'secret/minions/m1'"),
        (403, "Vault refuses the token"),
        (503, "Vault is sealed or not ready"),
        (307, "Vault sends elsewhere"),
        (500, "Vault answers with HTTP 500"),
    ],
)
def test_vault_that_refuses_refuses_the_job(tmp_path: Path, vault: FakeVault, status: int, message: str) -> None:
    vault.status = status
    with pytest.raises(SlsError, match=message) as caught:
        _pillar(tmp_path, _vault(tmp_path, vault))
    assert caught.value.where.file == "ext_pillar 1 (vault)"
    assert TOKEN not in str(caught.value)
    assert len(vault.asked) == 1


def test_vault_that_is_not_there_or_talks_nonsense(tmp_path: Path, vault: FakeVault) -> None:
    vault.secrets["secret/data/minions/m1"] = ["no", "data"]
    with pytest.raises(SlsError, match="is not that of its key-value store"):
        _pillar(tmp_path, _vault(tmp_path, vault))
    vault.secrets["secret/data/minions/m1"] = {"data": {"x": "y" * 2_000_000}}
    with pytest.raises(SlsError, match="answers with more than"):
        _pillar(tmp_path, _vault(tmp_path, vault))
    with pytest.raises(SlsError, match="does not answer"):
        _pillar(tmp_path, _vault(tmp_path, vault, url="http://127.0.0.1:1"))
    vault.stall = True
    with pytest.raises(SlsError, match=r"does not answer: .*timed out"):
        _pillar(tmp_path, _vault(tmp_path, vault, deadline=0.2))


def test_a_token_that_others_can_read_is_refused(tmp_path: Path, vault: FakeVault) -> None:
    source = _vault(tmp_path, vault)
    (tmp_path / "token").chmod(0o644)
    with pytest.raises(SlsError, match="is open to everybody"):
        _pillar(tmp_path, source)
    assert vault.asked == []


# --- Python ---------------------------------------------------------------------------------------------------


def test_a_function_is_called_only_when_it_is_allowed(tmp_path: Path) -> None:
    write(tmp_path / "lib", {"site_pillar_one.py": "def of(minion, pillar, n): return {minion: n + pillar['n']}\n"})
    options = {"call": "site_pillar_one.of", "folder": str(tmp_path / "lib"), "arguments": {"n": 1}}
    asked: dict[str, Any] = {"pillar": "n: 1\n", "python": ["site_pillar_one.of"]}
    assert _pillar(tmp_path, {"python": options}, **asked) == {"n": 1, "m1": 2}
    with pytest.raises(ConfigError, match=r"the function site_pillar_one\.of is not allowed"):
        _pillar(tmp_path, {"python": options})
    with pytest.raises(SlsError, match=r"site_pillar_one.of raised KeyError: 'n'"):
        _pillar(tmp_path, {"python": options}, python=["site_pillar_one.of"])


# --- what a configuration may say -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("item", "message"),
    [
        ("file_tree", "item 1 of 'ext_pillar' must be one source"),
        ({"consul": {}}, r"ext_pillar 1 \(consul\): there is no such source"),
        ({"file_tree": {"root": "/x"}}, r"ext_pillar 1 \(file_tree\): unknown key 'root'"),
        ({"file_tree": {"root_dir": "x"}}, "must be an absolute path"),
        ({"cmd_yaml": "cat /x"}, "the command must be a list of its words"),
        ({"cmd_yaml": ["cat", "/x"]}, "must begin with the absolute path"),
        ({"cmd_yaml": ["/bin/cat", "/{grains[os]}"]}, r"\{grains\[os\]\} cannot be filled in"),
        ({"cmd_yaml": {"command": ["/bin/true"], "deadline": 3600}}, "'deadline' must be"),
        ({"sql": {"driver": "oracle", "database": "x", "queries": ["x"]}}, "there is no driver 'oracle'"),
        ({"sql": {"database": "x", "queries": [{"querry": "x"}]}}, "a mapping with 'query'"),
        ({"vault": {"url": "http://vault:8200", "token_file": "/t", "path": "a/b"}}, "must be https"),
        ({"vault": {"url": "https://v", "token_file": "/t", "path": "a/{pillar[x]}"}}, "cannot be filled in"),
        ({"vault": {"url": "https://v", "token_file": "/t", "path": "a/../b"}}, "is no mount and path"),
        ({"vault": {"url": "https://v", "token_file": "t", "path": "a/b"}}, "'token_file' must be an absolute path"),
        ({"vault": {"url": "https://v", "token_file": "/t", "path": "a/b", "kv": 3}}, "'kv' must be 1 or 2"),
        ({"python": {"call": "of"}}, "must be the dotted path"),
    ],
)
def test_wrong_sources_are_refused_when_the_configuration_is_read(item: Data, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        check_sources([item])


def test_a_missing_driver_is_told_with_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    for driver, package in (("postgres", "python3-psycopg2"), ("mysql", "python3-pymysql")):
        monkeypatch.setitem(sys.modules, {"postgres": "psycopg2", "mysql": "pymysql"}[driver], None)
        with pytest.raises(ConfigError, match=f"the driver {driver} needs the Python module") as caught:
            check_sources([{"sql": {"driver": driver, "database": "x", "queries": ["x"]}}])
        assert package in caught.value.help
    assert json.dumps(TreeOptions().data())
