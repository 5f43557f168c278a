"""`stackmaster compile --explain`: the line, the carrier and the pillar key of each argument; and --config."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.unit.compiler_tree import write

ROOT = Path(__file__).resolve().parents[2]

FILES = {
    "app/init.sls": """\
{% from 'app/map.jinja' import app with context %}
{% set port = salt['pillar.get']('app:port', 80) %}
/etc/app:
  file.managed:
    - contents: {{ pillar['app']['motd'] }}
    - mode: {{ port }}
    - user: {{ app.user }}
    - group: root
base:
  cmd.run:
    - name: 'true'
    - cwd: /srv
other:
  cmd.run:
    - names: ['true', {'false': [{cwd: /tmp}]}]
    - use:
      - cmd: base
""",
    "app/map.jinja": "{% set app = {'user': 'nobody'} %}\n",
    "site.sls": "include: [app]\nextend:\n  /etc/app:\n    file:\n      - group: adm\n"
    "      - makedirs: {{ pillar.app.dirs }}\n",
}
PILLAR = "app: {motd: hello there, port: 8080, dirs: true}\n"


def _compile(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "master.main", "compile", "--id", "m1", *arguments]
    environment = {"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin", "PYTHONDONTWRITEBYTECODE": "1"}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=60, check=False)


def _tree(tmp_path: Path) -> tuple[str, ...]:
    write(tmp_path / "states", FILES)
    write(tmp_path / "pillar", {"top.sls": "base:\n  '*': [app]\n", "app.sls": PILLAR})
    write(tmp_path, {"grains.yaml": "os: Debian\n"})
    return "--states", "states", "--pillar", "pillar", "--grains", "grains.yaml", "--explain", "site"


def test_each_argument_has_its_origin(tmp_path: Path) -> None:
    done = _compile(tmp_path, *_tree(tmp_path))
    assert done.returncode == 0, done.stderr
    lines = [line.strip() for line in done.stdout.splitlines()]
    assert "contents: hello there   <- app/init.sls:5, pillar app:motd" in lines
    assert "mode: 8080   <- app/init.sls:6, pillar app:port" in lines
    assert "user: nobody   <- app/init.sls:7, from app/map.jinja" in lines
    assert "group: adm   <- site.sls:5, extend" in lines
    assert "makedirs: true   <- site.sls:6, extend, pillar app:dirs" in lines
    assert "cwd: /srv   <- app/init.sls:12, use of cmd: base" in lines
    assert "cwd: /tmp   <- app/init.sls:15, names" in lines


def test_origins_are_in_the_document_for_programs(tmp_path: Path) -> None:
    found: dict[str, Any] = json.loads(_compile(tmp_path, *_tree(tmp_path), "-o", "json").stdout)
    chunk = next(chunk for chunk in found["chunks"] if chunk["id"] == "/etc/app")
    assert chunk["origins"]["contents"] == {"file": "app/init.sls", "line": 5, "pillar": "app:motd"}
    assert chunk["origins"]["group"] == {"file": "site.sls", "line": 5, "via": "extend"}


def test_a_configuration_gives_trees_groups_and_sources_of_pillar(tmp_path: Path) -> None:
    _tree(tmp_path)
    write(tmp_path / "pillar", {"top.sls": "base:\n  'N@mine': [app]\n"})
    write(tmp_path / "files/hosts/m1/app", {"motd": "from a file\n"})
    config = {
        "file_roots": {"base": [str(tmp_path / "states")]}, "pillar_roots": {"base": [str(tmp_path / "pillar")]},
        "nodegroups": {"mine": ["m1", "m2"]}, "ext_pillar": [{"file_tree": {"root_dir": str(tmp_path / "files")}}],
    }  # fmt: skip
    write(tmp_path, {"master.yaml": json.dumps(config)})
    done = _compile(tmp_path, "--config", "master.yaml", "--grains", "grains.yaml", "site")
    assert done.returncode == 0, done.stderr
    assert "contents: from a file" in done.stdout
    assert "mode: 8080" in done.stdout
