"""`stackmaster fmt` on files: what is written, what is left alone, and the exit codes."""

from __future__ import annotations

import json
import stat
import subprocess
import sys
from pathlib import Path

from tests.unit.compiler_tree import write

ROOT = Path(__file__).resolve().parents[2]
UGLY = 'a:\n    pkg.installed:\n    - name: "b" # why\nc:\n  test.nop: []\n'
NEAT = "a:\n  pkg.installed:\n    - name: 'b'  # why\n\nc:\n  test.nop: []\n"


def _fmt(folder: Path, *arguments: str, given: str = "") -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "master.main", "fmt", *arguments]
    environment = {"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin", "PYTHONDONTWRITEBYTECODE": "1"}
    return subprocess.run(
        command, cwd=folder, env=environment, input=given, capture_output=True, text=True, timeout=60, check=False
    )


def test_files_of_a_tree_are_written_and_those_with_jinja_left_alone(tmp_path: Path) -> None:
    jinja = "{{ x }}:\n    test.nop: []\n"
    write(tmp_path, {"a.sls": UGLY, "b/init.sls": jinja, "c.sls": NEAT, "d.txt": "x:    1\n"})
    (tmp_path / "a.sls").chmod(0o640)
    done = _fmt(tmp_path, ".")
    assert (done.returncode, done.stdout) == (0, "formatted a.sls\n")
    assert "left alone: b/init.sls: it holds Jinja" in done.stderr
    assert (tmp_path / "a.sls").read_text() == NEAT
    assert stat.S_IMODE((tmp_path / "a.sls").stat().st_mode) == 0o640
    assert (tmp_path / "b/init.sls").read_text() == jinja
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.sls", "b", "c.sls", "d.txt"]
    assert _fmt(tmp_path, ".").stdout == ""


def test_check_and_diff_write_nothing(tmp_path: Path) -> None:
    write(tmp_path, {"a.sls": UGLY})
    done = _fmt(tmp_path, "--check", "a.sls")
    assert (done.returncode, done.stdout) == (1, "would format a.sls\n")
    done = _fmt(tmp_path, "--diff", "a.sls")
    assert done.returncode == 0
    assert "+  pkg.installed:" in done.stdout
    assert (tmp_path / "a.sls").read_text() == UGLY
    write(tmp_path, {"a.sls": NEAT})
    assert _fmt(tmp_path, "--check", "a.sls").returncode == 0


def test_standard_input_and_json(tmp_path: Path) -> None:
    assert _fmt(tmp_path, "-", given=UGLY).stdout == NEAT
    write(tmp_path, {"a.sls": UGLY})
    report = json.loads(_fmt(tmp_path, "a.sls", "-o", "json").stdout)
    assert report == {"schema": "stackmaster.fmt/1", "changed": ["a.sls"], "unchanged": 0, "left": {}, "errors": []}


def test_what_is_no_yaml_is_told_with_its_place(tmp_path: Path) -> None:
    write(tmp_path, {"a.sls": "a:\n  b: [\n", "b.sls": UGLY})
    done = _fmt(tmp_path, ".")
    assert done.returncode == 1
    assert done.stdout.startswith("formatted b.sls\na.sls:")
    assert _fmt(tmp_path, "gone").returncode == 2
