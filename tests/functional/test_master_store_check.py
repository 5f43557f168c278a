"""The commands that look after the master's own records: `store check`, `audit`, `keys ls --state denied`."""

from __future__ import annotations

import json
import os
import sqlite3
import stat
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from tests.functional.master_process import ROOT, MasterProcess


def command(master: MasterProcess, *words: str) -> subprocess.CompletedProcess[str]:
    """Run the real command line against this master."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "STACKMASTER_CONFIG": str(master.config)}
    run = [sys.executable, "-m", "master.main", *words]
    return subprocess.run(run, env=environment, capture_output=True, text=True, timeout=60, cwd=ROOT)


@pytest.fixture
def stopped(tmp_path: Path) -> MasterProcess:
    """A master that has some history and does not run."""
    master = MasterProcess(tmp_path)
    with master, master.admit(master.peer("osd1")) as peer:
        peer.join()
        for _ in range(30):
            job = master.call("jobs.start", target="osd1", function="test.ping")["job"]
        peer.until(lambda: len(peer.orders) == 30, "the orders")
        master.wait_job(job)
    return master


def tamper(master: MasterProcess, sql: str) -> None:
    with closing(sqlite3.connect(master.state_dir / "master.db")) as connection, connection:
        connection.execute(sql)


def test_a_sound_database_is_told_so_and_left_as_it_is(stopped: MasterProcess) -> None:
    before = (stopped.state_dir / "master.db").read_bytes()
    ran = command(stopped, "store", "check", "--repair")
    assert (ran.returncode, "is sound" in ran.stdout) == (0, True), ran
    assert (stopped.state_dir / "master.db").read_bytes() == before


def test_rows_that_belong_to_nothing_are_found_and_removed(stopped: MasterProcess) -> None:
    tamper(stopped, "INSERT INTO steps (job, minion, position) VALUES ('nowhere', 'osd1', 0)")
    ran = command(stopped, "store", "check", "-o", "json")
    assert ran.returncode == 1 and "1 rows of steps" in json.loads(ran.stdout)["findings"][0]["what"]
    assert command(stopped, "store", "check", "--repair").returncode == 0
    stopped.start()
    try:
        assert len(stopped.call("jobs.list", limit=99)["jobs"]) == 30
        assert stopped.call("keys.list")["keys"][0]["id"] == "osd1"
    finally:
        stopped.stop()


def test_what_can_be_read_of_a_damaged_database_is_kept(stopped: MasterProcess) -> None:
    path = stopped.state_dir / "master.db"
    with closing(sqlite3.connect(path)) as connection:
        root, size = connection.execute("SELECT rootpage, 4096 FROM sqlite_master WHERE name = 'events'").fetchone()
        keys = connection.execute("SELECT count(*) FROM keys").fetchone()
    with path.open("r+b") as file:
        file.seek((root - 1) * size)
        file.write(b"\xff" * size)
    assert command(stopped, "store", "check").returncode == 1
    assert command(stopped, "store", "check", "--repair").returncode == 0
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert path.with_name("master.db.damaged-1").exists()
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT count(*) FROM jobs").fetchone() == (30,)
        assert connection.execute("SELECT count(*) FROM keys").fetchone() == keys
    stopped.start()
    stopped.stop()


def test_a_running_master_is_checked_but_not_repaired(tmp_path: Path) -> None:
    with MasterProcess(tmp_path) as master:
        assert command(master, "store", "check").returncode == 0
        tamper(master, "INSERT INTO steps (job, minion, position) VALUES ('nowhere', 'osd1', 0)")
        ran = command(master, "store", "check", "--repair")
        assert (ran.returncode, "the master runs" in ran.stderr) == (7, True), ran


def test_the_audit_is_listed_and_verified(stopped: MasterProcess) -> None:
    with stopped:
        listed = command(stopped, "audit", "ls", "--limit", "100", "-o", "json")
        assert any(each["call"] == "jobs.start" for each in json.loads(listed.stdout)["records"])
        assert "jobs.start" in command(stopped, "audit", "ls").stdout
        assert command(stopped, "audit", "verify").returncode == 0
    tamper(stopped, "UPDATE audit SET user = 'bob' WHERE number = 5")
    with stopped:
        ran = command(stopped, "audit", "verify")
        assert (ran.returncode, "record 5" in ran.stdout) == (1, True), ran


def test_denied_keys_can_be_listed_alone(tmp_path: Path) -> None:
    with MasterProcess(tmp_path) as master, master.admit(master.peer("osd1")), master.peer("osd1") as other:
        for _ in range(3):
            answer = other.enrol(master.door)
            assert answer is not None and answer.state == "refused"
        assert master.tags().count("key/osd1/denied") == 1, "who asks again and again is told of once"
        ran = command(master, "keys", "ls", "--state", "denied", "-o", "json")
        assert [each["state"] for each in json.loads(ran.stdout)["keys"]] == ["denied"]
