"""Configuration files: merged in order, typed, and every mistake told with its line."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from protocol.errors import ConfigError
from protocol.settings import load


@dataclass(frozen=True)
class Sample:
    id: str = ""
    port: int = 4506
    ratio: float = 0.5
    masters: tuple[str, ...] = ()
    folder: Path = Path("/var")
    roots: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    strict: bool = False


def write(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    return path


def test_later_sources_win_and_are_remembered(tmp_path: Path) -> None:
    path = write(tmp_path, "minion.yaml", "id: a\nport: 1\nmasters: one\n")
    write(tmp_path, "conf.d/10-x.yaml", "port: 2\nratio: 1\n")
    write(tmp_path, "conf.d/minion-z.yaml", "roots: {base: [/srv/a, /srv/b]}\n")
    write(tmp_path, "conf.d/master-z.yaml", "nonsense: 1\n")
    loaded = load(Sample, path, {"STACKMASTER_STRICT": "yes", "STACKMASTER_PORT": "3"})
    assert loaded.value == Sample("a", 3, 1.0, ("one",), Path("/var"), {"base": ("/srv/a", "/srv/b")}, True)
    assert loaded.origins["port"] == "$STACKMASTER_PORT"
    assert loaded.origins["ratio"].endswith("10-x.yaml:2")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("id: a\nprot: 1\n", "minion.yaml:2:1: unknown key 'prot' (did you mean 'port'?)"),
        ("port: many\n", "minion.yaml:1:1: 'port' must be int, not 'many'"),
        ("port: true\n", "'port' must be int"),
        ("- a\n", "is a mapping"),
        ("id: [1\n", "minion.yaml:"),
        ("id: a\nid: b\n", "minion.yaml:2"),
        ("id: !!python/object/apply:os.system [ls]\n", "minion.yaml:1"),
    ],
)
def test_a_mistake_is_told_with_its_place(tmp_path: Path, text: str, said: str) -> None:
    path = write(tmp_path, "minion.yaml", text)
    with pytest.raises(ConfigError) as caught:
        load(Sample, path, {})
    assert said in str(caught.value)


@pytest.mark.parametrize("text", ["010", "1:30", "12.10", "yes", "2024-01-02"])
def test_text_stays_as_it_was_written(tmp_path: Path, text: str) -> None:
    assert load(Sample, write(tmp_path, "minion.yaml", f"id: {text}\n"), {}).value.id == text


def test_a_missing_file_and_a_bad_variable_are_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="--config"):
        load(Sample, tmp_path / "minion.yaml", {})
    with pytest.raises(ConfigError, match=r"\$STACKMASTER_PORT"):
        load(Sample, None, {"STACKMASTER_PORT": "x"})
