"""Pillar from a running master: files, a command, a database and a Vault, and what is told of secrets by grains."""

from __future__ import annotations

import sqlite3
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from protocol.errors import StackmasterError
from tests.functional.master_process import MasterProcess
from tests.unit.fake_vault import TOKEN, FakeVault


def _sources(folder: Path, vault: FakeVault) -> list[dict[str, Any]]:
    token = folder / "token"
    token.write_text(TOKEN)
    token.chmod(0o600)
    with closing(sqlite3.connect(folder / "site.db")) as connection:
        connection.execute("create table racks (minion text, rack text)")
        connection.execute("insert into racks values ('osd1', 'r7')")
        connection.commit()
    script = folder / "say.py"
    script.write_text("import json, sys; print(json.dumps({'said': sys.argv[1]}))")
    own = folder / "tree/hosts/osd1/site"
    own.mkdir(parents=True)
    (own / "motd").write_text("hello\n")
    vault.secrets["secret/data/ceph/osd1"] = {"data": {"dashboard": "pw-from-vault-1"}}
    return [
        {"file_tree": {"root_dir": str(folder / "tree")}},
        {"cmd_json": [sys.executable, str(script), "{minion}"]},
        {"sql": {"database": str(folder / "site.db"), "queries": ["select 'rack', rack from racks where minion = %s"]}},
        {"vault": {"url": vault.url, "token_file": str(token), "path": "secret/ceph/{minion}"}},
    ]


def test_sources_are_asked_by_the_compiling_processes_and_their_secrets_stay_secret(tmp_path: Path) -> None:
    with FakeVault() as vault:
        settings = {"ext_pillar": _sources(tmp_path, vault), "pillar_merge_lists": True}
        with MasterProcess(tmp_path, settings) as master:
            (master.pillar / "top.sls").write_text("base:\n  'G@role:osd': [osd]\n")
            (master.pillar / "osd.sls").write_text("password: by-claimed-role\n")
            (master.states / "show.sls").write_text(
                "show:\n  test.configurable_test_state:\n    - changes: true\n    - result: true\n"
                "    - comment: '{{ pillar.said }} {{ pillar.rack }} {{ pillar.site.motd }} {{ pillar.dashboard }}'\n"
            )
            asked: dict[str, Any] = {"grains": {"id": "osd1", "role": "osd"}, "sls": ["show"], "explain": True}
            found = master.call("compile", **asked)
            (chunk,) = found["chunks"]
            assert chunk["args"]["comment"] == "***"
            assert chunk["origins"]["comment"] == {"file": "show.sls", "line": 5, "pillar": "said"}
            assert any("osd.sls:1: 'password' holds a secret" in warning for warning in found["warnings"])
            vault.status = 403
            with pytest.raises(StackmasterError, match="Vault refuses the token") as caught:
                master.call("compile", **asked)
            assert caught.value.where.file == "ext_pillar 4 (vault)"
        assert "pw-from-vault-1" not in str(found) + master.logged()
        assert "by-claimed-role" not in str(found) + master.logged()


def test_secrets_by_claims_are_refused_where_that_is_set(tmp_path: Path) -> None:
    with MasterProcess(tmp_path, {"strict_pillar_targets": True}) as master:
        (master.pillar / "top.sls").write_text("base:\n  'G@role:osd': [osd]\n")
        (master.pillar / "osd.sls").write_text("password: by-claimed-role\n")
        (master.states / "show.sls").write_text("show:\n  test.nop: []\n")
        with pytest.raises(StackmasterError, match="the top file assigns this file by grains") as caught:
            master.call("compile", grains={"id": "osd1", "role": "osd"}, sls=["show"])
        assert (caught.value.where.file, caught.value.where.line) == ("osd.sls", 1)
        assert "by-claimed-role" not in str(caught.value)
        assert master.call("compile", grains={"id": "mon1", "role": "mon"}, sls=["show"])["chunks"]
