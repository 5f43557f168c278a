"""Joining with the real commands: right, wrong, used up and expired tokens, by hand, and with the wrong key."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from protocol.identity import generate
from protocol.token import JoinToken, read_token
from tests.demo.site import Site

DEMO = Path(__file__).parents[1] / "demo"


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    with Site(DEMO / "states", DEMO / "pillar") as it:
        it.start_master()
        yield it


def token(site: Site, *options: str) -> str:
    """A fresh token."""
    return str(json.loads(site.run("keys", "token", *options, "--output", "json").stdout)["token"])


def join(site: Site, minion: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """`stackminion join ARGUMENTS` as `minion`."""
    folder = site.folder / minion
    folder.mkdir(exist_ok=True)
    config = folder / "minion.yaml"
    config.write_text(f"id: {minion}\nroot: {folder}/root\nstate_dir: {folder}/state\n")
    return site.python("-m", "minion.main", "--config", str(config), "join", *arguments)


def states(site: Site) -> dict[str, str]:
    """Every known minion and the state of its key."""
    found = json.loads(site.run("keys", "ls", "--output", "json").stdout)
    return {key["id"]: key["state"] for key in found["keys"]}


def test_a_token_admits_once(site: Site) -> None:
    once = token(site)
    first = join(site, "one", once)
    assert first.returncode == 0, first.stderr
    assert "accepted" in first.stdout
    second = join(site, "two", once)
    assert second.returncode == 7
    assert "keys token" in second.stderr or "new token" in second.stderr
    assert "two" not in states(site)


def test_a_wrong_secret_admits_nobody(site: Site) -> None:
    good = read_token(token(site))
    bad = JoinToken(good.addresses, good.signing, good.curve, "x" * len(good.secret))
    refused = join(site, "three", bad.text())
    assert refused.returncode == 7, refused.stdout
    assert "three" not in states(site)


def test_an_expired_token_admits_nobody(site: Site) -> None:
    expired = token(site, "--ttl", "1s")
    born = time.monotonic()
    while time.monotonic() < born + 1.1:
        assert site.run("status").returncode == 0
    refused = join(site, "four", expired)
    assert refused.returncode == 7, refused.stdout
    assert "expired" in refused.stderr
    assert "four" not in states(site)


def test_without_a_token_a_person_accepts(site: Site) -> None:
    key = json.loads(site.run("keys", "master", "--output", "json").stdout)["key"]
    asked = join(site, "five", "--master", f"127.0.0.1:{site.ports[0]}", "--master-key", key)
    assert asked.returncode == 0, asked.stderr
    assert "stackmaster keys accept five" in asked.stdout
    assert states(site)["five"] == "pending"
    assert site.run("keys", "accept", "five").returncode == 0
    assert states(site)["five"] == "accepted"
    assert site.run("keys", "reject", "five").returncode == 0
    assert states(site)["five"] == "rejected"
    assert site.run("keys", "delete", "five").returncode == 0
    assert "five" not in states(site)


def test_a_master_with_another_key_is_no_master(site: Site) -> None:
    other = generate().public.text()
    done = join(site, "six", "--master", f"127.0.0.1:{site.ports[0]}", "--master-key", other)
    assert done.returncode == 1
    assert "no answer" in done.stderr
    assert "six" not in states(site)


def test_what_is_no_token_is_told(site: Site) -> None:
    for text in ("hello", "sm1-", token(site)[:-9]):
        done = join(site, "seven", text)
        assert done.returncode == 2
        assert "keys token" in done.stderr
