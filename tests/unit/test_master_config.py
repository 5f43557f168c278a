"""The master's settings: read with their places, refused when they cannot work, and what tokens say of addresses."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from master.config import MasterSettings, check, load, token_addresses
from protocol.errors import ConfigError


def test_a_file_and_the_environment_are_read(tmp_path: Path) -> None:
    file = tmp_path / "master.yaml"
    file.write_text("heartbeat: 2\nfile_roots: {base: [/srv/a, /srv/b]}\nroles: {bob: read}\n")
    settings = load(file, {"STACKMASTER_SESSION_PORT": "5506"}).value
    assert settings.heartbeat == 2.0
    assert settings.file_roots == {"base": (Path("/srv/a"), Path("/srv/b"))}
    assert settings.session_port == 5506


@pytest.mark.parametrize(
    "text",
    [
        "heartbeat: 0", "heartbeat: -1", "enrol_port: 0", "session_port: 70000", "session_port: 4505", "window: 0",
        "roles: {bob: king}", "nonsense: 1", "heartbeat: soon", "file_roots: [/srv]",
    ],
)  # fmt: skip
def test_what_cannot_work_is_refused(tmp_path: Path, text: str) -> None:
    file = tmp_path / "master.yaml"
    file.write_text(text)
    with pytest.raises(ConfigError):
        load(file, {})


def test_the_defaults_can_work() -> None:
    check(MasterSettings())


def test_tokens_name_what_was_set() -> None:
    assert token_addresses(MasterSettings(addresses=("ctl1", "ctl2"))) == ("ctl1", "ctl2")
    assert token_addresses(MasterSettings(interface="192.0.2.1")) == ("192.0.2.1",)


def test_tokens_name_a_port_that_is_not_the_usual_one() -> None:
    settings = MasterSettings(addresses=("ctl1", "ctl2:99", "2001:db8::1", "[2001:db8::2]:7"), enrol_port=5505)
    assert token_addresses(settings) == ("ctl1:5505", "ctl2:99", "[2001:db8::1]:5505", "[2001:db8::2]:7")


def test_a_master_that_listens_everywhere_finds_an_address() -> None:
    found = token_addresses(dataclasses.replace(MasterSettings(), interface="0.0.0.0"))
    assert found
    assert "0.0.0.0" not in found
