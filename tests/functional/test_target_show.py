"""`stackmaster target show --minions FILE`: whom expressions mean and why, worked out without a master."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TARGETS = ROOT / "tests/conformance/targets.json"


def _show(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "master.main", "target", "show", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)


def test_every_minion_is_explained_term_by_term(tmp_path: Path) -> None:
    file = tmp_path / "minions.yaml"
    file.write_text(
        "- {id: osd1, grains: {os: Debian}}\n- {id: mon1, grains: {os: Debian}}\n- {id: web1, grains: {os: Ubuntu}}\n"
    )
    done = _show("G@os:Debian and not osd*", "--explain", "--minions", str(file))
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        "- osd1  is out",
        "    G@os:Debian: yes, the grain os is Debian",
        "    not osd*: no, the id is osd1",
        "+ mon1  is in",
        "    G@os:Debian: yes, the grain os is Debian",
        "    not osd*: yes, the id is mon1",
        "- web1  is out",
        "    G@os:Debian: no, the grain os is Ubuntu",
        "    not osd*: yes, the id is web1",
    ]


def test_flags_groups_and_words_mean_what_they_mean_to_salt() -> None:
    cases = [
        (["N@group4"], ["mon01", "osd01", "web01"]),
        (["-N", "group4"], ["mon01", "osd01", "web01"]),
        (["--glob", "Minion *"], ["Minion A"]),
        (["-J", "app:name:SH.P"], ["web01", "web02"]),
        (["--pillar-exact", "app:name:shop"], ["web01", "web02"]),
        (["-L", "web01,db01"], ["db01", "web01"]),
        (["['Minion A', 'or', 'db01']"], ["Minion A", "db01"]),
    ]
    ids = {minion["id"] for minion in json.loads(TARGETS.read_text("utf-8"))["minions"]}
    for arguments, meant in cases:
        done = _show(*arguments, "--minions", str(TARGETS), "-o", "json")
        found = json.loads(done.stdout)["minions"]
        assert sorted(found) == sorted(set(meant) & ids), (arguments, done.stderr)


def test_nobody_is_6_and_says_why() -> None:
    done = _show("web* and and db*", "--minions", str(TARGETS))
    assert done.returncode == 6
    assert "'and' is not expected here" in done.stderr


def test_a_file_without_minions_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "minions.json"
    file.write_text('{"minions": [{"grains": {}}]}')
    done = _show("*", "--minions", str(file))
    assert done.returncode == 2
    assert "minion 1 has no id" in done.stderr
    assert "--minions" in _show("*", "--nodegroups", str(file)).stderr
