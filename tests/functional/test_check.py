"""`stackmaster check` on trees with mistakes of every kind: what is found, where, and the exit code."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.unit.compiler_tree import write

ROOT = Path(__file__).resolve().parents[2]
CEPHX = "AQ" + "B" * 36 + "=="


def _check(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "master.main", "check", *arguments]
    environment = {"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin", "PYTHONDONTWRITEBYTECODE": "1"}
    return subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=120, check=False
    )


def _found(tmp_path: Path, files: dict[str, str], *arguments: str) -> list[tuple[str, str, str]]:
    """Each finding as (place, severity, code)."""
    write(tmp_path / "states", files)
    done = _check(tmp_path, "states", "-o", "json", *arguments)
    report = json.loads(done.stdout)
    assert report["schema"] == "stackmaster.check/1"
    assert done.returncode == (1 if report["errors"] else 0), done.stderr
    return [(f"{each['file']}:{each['line']}:{each['column']}", each["severity"], each["code"])
            for each in report["findings"]]  # fmt: skip


def test_a_clean_tree_is_0_and_says_so(tmp_path: Path) -> None:
    write(tmp_path, {"ntp/init.sls": "ntp:\n  pkg.installed: []\n", "top.sls": "base:\n  '*': [ntp]\n"})
    done = _check(tmp_path)
    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr == "1 SLS files in . with debian, ubuntu, centos, suse: 0 errors, 0 warnings, 0 hints\n"


def test_every_finding_is_a_line_that_an_editor_reads(tmp_path: Path) -> None:
    write(tmp_path, {"a.sls": "x:\n  pkg.instaled:\n    - name: y\n", "b.sls": "y:\n  - 5\nz:\n  test.nop\n"})
    done = _check(tmp_path)
    assert done.returncode == 1
    lines = done.stdout.splitlines()
    assert lines[0] == (
        "a.sls:2:3: error: there is no state 'pkg.instaled'; id 'x'; did you mean 'pkg.installed'? [state.unknown]"
    )
    assert all(re.fullmatch(r"[^:]+:\d+:\d+: (error|warning|hint): .+ \[[a-z.]+\]", line) for line in lines)


def test_several_mistakes_of_one_file_and_of_one_state_are_told_at_once(tmp_path: Path) -> None:
    files = {
        "a.sls": "include: [b]\nx:\n  file.managed:\n    - nam: /x\n    - contants: y\ny:\n  - 5\nz:\n"
        "  pkg: [installed]\n  no.pe: []\n",
        "b.sls": "{{ pillar.gone }}:\n  test.nop: []\n",
    }
    assert _found(tmp_path, files) == [
        ("states/a.sls:4:7", "error", "argument.unknown"),
        ("states/a.sls:5:7", "error", "argument.unknown"),
        ("states/a.sls:6:1", "error", "structure"),
        ("states/a.sls:10:3", "error", "state.unknown"),
        ("states/b.sls:1:11", "error", "render.undefined"),
    ]


def test_what_only_some_systems_show_names_them(tmp_path: Path) -> None:
    text = "{% if grains.os_family == 'RedHat' %}\nx:\n  pkg.instaled: []\n{% endif %}\n"
    write(tmp_path, {"a.sls": text})
    assert "(with centos) [state.unknown]" in _check(tmp_path).stdout
    assert _check(tmp_path, "--sample", "debian").returncode == 0
    write(tmp_path, {"osd1.yaml": "id: osd1\nos: Rocky\nos_family: RedHat\n"})
    assert _check(tmp_path, "--grains", "osd1.yaml").returncode == 1


def test_includes_that_are_missing_empty_or_never_reached(tmp_path: Path) -> None:
    files = {
        "top.sls": "base:\n  '*': [a, gone]\n",
        "a.sls": "include:\n  - b\n  - none*\n{% if grains.os == 'Plan9' %}\n  - c\n  - lost\n{% endif %}\n",
        "b.sls": "include: [missing]\n",
        "c.sls": "c:\n  test.nop: []\n",
    }
    assert _found(tmp_path, files) == [
        ("states/a.sls:3:5", "warning", "include.empty"),
        ("states/a.sls:5:3", "hint", "include.unreached"),
        ("states/a.sls:6:5", "warning", "include.missing"),
        ("states/b.sls:1:11", "error", "include.missing"),
        ("states/c.sls:1:1", "hint", "sls.unreached"),
        ("states/top.sls:2:12", "error", "top.missing"),
    ]


def test_requisites_to_nothing_and_to_what_is_not_included(tmp_path: Path) -> None:
    files = {
        "a.sls": "x:\n  test.nop:\n    - require:\n      - test: elsewhere\n      - pkg: nowhere\n",
        "b.sls": "elsewhere:\n  test.nop: []\n",
        "c.sls": "p:\n  test.nop:\n    - require:\n      - test: q\nq:\n  test.nop:\n    - require:\n      - test: p\n",
    }
    found = _found(tmp_path, files)
    assert found[0] == ("states/a.sls:4:7", "warning", "requisite.missing")
    assert found[1] == ("states/a.sls:5:7", "error", "requisite.missing")
    assert found[2][1:] == ("error", "requisite.circle")


def test_secrets_in_plain_text_are_found_and_never_shown(tmp_path: Path) -> None:
    files = {
        "a.sls": f"k:\n  file.managed:\n    - name: /k\n    - contents: {CEPHX}\n",
        "b.sls": "{% set db_password = 'hunter2-hunter2' %}\nu:\n  test.nop:\n    - password: pass-word-9\n"
        "    - other_password: {{ pillar.get('x', '') }}\n    - password_file: /etc/x\n    - token: salt://x\n",
        "files/key.pem": "-----BEGIN RSA PRIVATE KEY-----\nMIIB\n",
        "files/app.conf": "url = mysql://nova:pass-word-8@db/nova\n",
    }
    found = [each for each in _found(tmp_path, files) if each[2].startswith("secret")]
    assert found == [
        ("states/a.sls:4:17", "error", "secret.key"),
        ("states/b.sls:1:23", "warning", "secret.literal"),
        ("states/b.sls:4:17", "warning", "secret.literal"),
        ("states/files/app.conf:1:20", "warning", "secret.literal"),
        ("states/files/key.pem:1:1", "error", "secret.key"),
    ]
    printed = _check(tmp_path, "states").stdout
    assert not any(secret in printed for secret in (CEPHX, "hunter2", "pass-word"))


def test_pillar_is_compiled_and_reaches_the_states(tmp_path: Path) -> None:
    write(tmp_path / "pillar", {"top.sls": "base:\n  'osd*': [osd]\n", "osd.sls": "disk: sdb\n"})
    states = {"a.sls": "x:\n  test.nop:\n    - name: {{ pillar.disk }}\n"}
    assert [code for _, _, code in _found(tmp_path, states)] == ["render.undefined"]
    assert _found(tmp_path, states, "--pillar", "pillar") == []
    assert _found(tmp_path, states, "--pillar", "disk=sdc") == []
    write(tmp_path, {"web1.yaml": "id: web1\nos: Debian\n", "osd1.yaml": "id: osd1\nos: Debian\n"})
    assert _found(tmp_path, states, "--pillar-dir", "pillar", "--grains", "osd1.yaml") == []
    assert len(_found(tmp_path, states, "--pillar-dir", "pillar", "--grains", "web1.yaml")) == 1
    write(tmp_path / "pillar", {"osd.sls": "disk: [\n"})
    assert _found(tmp_path, states, "--pillar", "pillar") == [
        ("pillar/osd.sls:1:1", "error", "yaml"),
        ("states/a.sls:3:23", "warning", "render.undefined"),
    ]


def test_secrets_that_a_pillar_gives_by_claims_are_warned_of(tmp_path: Path) -> None:
    top = "base:\n  'G@role:db': [db]\n  'db1': [db]\n  '*': [all]\n  'S@10.0.0.0/8': [all]\n"
    write(tmp_path / "pillar", {"top.sls": top, "db.sls": "a: 1\npassword: hunter2-x\n", "all.sls": "b: 1\n"})
    assert _found(tmp_path, {"a.sls": "x:\n  test.nop: []\n"}, "--pillar", "pillar") == [
        ("pillar/top.sls:2:4", "warning", "pillar.claimed"),
    ]


def test_old_forms_are_hints_and_can_be_left_out(tmp_path: Path) -> None:
    files = {"a.sls": "{% for k, v in {'a': 1}.iteritems() %}\n{{ k }}:\n  test.nop: []\n{% endfor %}\n"}
    assert _found(tmp_path, files) == [("states/a.sls:1:24", "hint", "py2")]
    assert _found(tmp_path, files, "--ignore", "py2") == []


def test_what_asks_the_minion_is_guessed_and_its_errors_are_warnings(tmp_path: Path) -> None:
    files = {"a.sls": "x:\n  test.nop:\n    - name: {{ salt['cmd.run']('hostname') }}{{ pillar.gone }}\n"}
    assert _found(tmp_path, files) == [("states/a.sls:3:56", "warning", "render.undefined")]
    assert _check(tmp_path, "states", "--strict").returncode == 1


def test_orchestrations_are_checked_as_such(tmp_path: Path) -> None:
    files = {"orch.sls": "a:\n  salt.state:\n    - tgt: '*'\n    - sls: [x]\nb:\n  salt.stat:\n    - tgt: '*'\n"}
    assert [code for _, _, code in _found(tmp_path, files)] == ["state.unknown"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [(["gone"], "gone is no folder"), ([".", "--sample", "hurd"], "there is no sample 'hurd'")],
)
def test_usage(tmp_path: Path, arguments: list[str], message: str) -> None:
    done = _check(tmp_path, *arguments)
    assert done.returncode == 2
    assert message in done.stderr


def test_the_shipped_formulas_are_clean() -> None:
    pillar: dict[str, Any] = {
        "ceph": {"monitors": {"debian": "192.0.2.11"}, "fsid": "6f3c1d9e-0000-4000-8000-000000000000"}
    }
    done = _check(ROOT, "states/formulas", "--sample", "debian", "--pillar", json.dumps(pillar))
    assert done.returncode == 0, done.stdout
