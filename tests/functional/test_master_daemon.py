"""The master as a process: its files, its end, its only instance, its API to others, its history, its secrets."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from master.cli.client import Client, MasterError
from master.daemon import Daemon
from protocol.messages import EventRaised
from protocol.results import JobState
from protocol.secrets import Secret
from tests.functional.master_process import ROOT, SERVE, MasterProcess, wait_for


@pytest.fixture
def master(tmp_path: Path) -> Iterator[MasterProcess]:
    with MasterProcess(tmp_path) as process:
        yield process


def test_all_it_keeps_is_for_its_owner_only(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        with MasterProcess(tmp_path) as master, master.admit(master.peer("osd1")) as peer:
            (master.states / "big").write_bytes(b"x" * 300_000)
            (master.states / "a.sls").write_text("/a:\n  file.managed:\n    - source: salt://big\n")
            peer.join()
            master.call("jobs.start", target="osd1", kind="apply", sls=["a"])
            peer.until(lambda: peer.acknowledged == 3, "the acknowledgements")
            modes = {path: stat.S_IMODE(path.stat().st_mode) for path in master.state_dir.rglob("*")}
            assert len(modes) > 5
            assert {oct(mode) for path, mode in modes.items() if path.is_file()} == {"0o600"}
            assert {oct(mode) for path, mode in modes.items() if path.is_dir()} == {"0o700"}
            assert stat.S_IMODE(master.state_dir.stat().st_mode) == 0o700
            assert stat.S_IMODE(master.socket.stat().st_mode) == 0o660
    finally:
        os.umask(before)


def test_it_ends_in_time_also_with_work_and_clients(master: MasterProcess) -> None:
    with master.admit(master.peer("osd1")) as peer, Client(master.socket) as client:
        peer.obey = lambda job, order: None  # type: ignore[method-assign]
        peer.join()
        stream = client.stream("events.tail", {})
        master.call("jobs.start", target="osd1", function="test.ping")
        assert stream.next(5.0) is not None
        assert master.process is not None
        assert master.stop() < 5.0
    assert "Traceback" not in master.logged()
    assert not master.socket.exists()


def test_its_exit_status_is_zero_on_a_signal(master: MasterProcess) -> None:
    for number in (signal.SIGTERM, signal.SIGINT):
        process = master.process
        assert process is not None
        process.send_signal(number)
        assert process.wait(5.0) == 0
        master.process = None
        master.start()


def test_a_second_master_on_the_same_state_is_refused(master: MasterProcess) -> None:
    second = subprocess.run(
        [sys.executable, "-c", SERVE, str(master.config)],
        env={**os.environ, "PYTHONPATH": str(ROOT), "STACKMASTER_SOCKET": str(master.folder / "other.sock")},
        capture_output=True,
        timeout=20,
        check=False,
    )
    assert second.returncode != 0
    assert b"another master runs" in second.stderr
    assert master.call("status")["version"]


def test_a_port_that_is_taken_is_told(tmp_path: Path) -> None:
    with socket.socket() as taken:
        master = MasterProcess(tmp_path)
        taken.bind(("127.0.0.1", master.port))
        taken.listen()
        with pytest.raises(AssertionError, match="cannot listen"):
            master.start()


def test_it_tells_systemd_that_it_is_ready_alive_and_stopping(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(tmp_path / "notify"))
        listener.settimeout(10.0)
        told: list[str] = []
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
            patch.setenv("WATCHDOG_USEC", "400000")
            master = MasterProcess(tmp_path)
            master.start()
        while not any("WATCHDOG=1" in each for each in told):
            told.append(listener.recv(4096).decode())
        master.stop()
        while not any("STOPPING=1" in each for each in told):
            told.append(listener.recv(4096).decode())
    assert told[0].startswith("READY=1\n")


def test_at_rest_it_is_one_process(master: MasterProcess) -> None:
    assert master.process is not None
    children = Path(f"/proc/{master.process.pid}/task/{master.process.pid}/children").read_text()
    assert children == ""


def test_old_history_goes(tmp_path: Path) -> None:
    with MasterProcess(tmp_path, {"history_days": 1e-6}) as master, master.admit(master.peer("osd1")) as peer:
        peer.join()
        job = master.call("jobs.start", target="osd1", function="test.ping")["job"]
        peer.until(lambda: peer.acknowledged, "the acknowledgement")
        master.wait_job(job)
        master.kill()
        wait_for(lambda: expire(master) == 0, "nothing more to be too old")
        master.start()
        assert master.call("jobs.list")["jobs"] == []
        assert len(master.events()) == 1
        with pytest.raises(MasterError):
            master.call("jobs.show", job=job)


def expire(master: MasterProcess) -> int:
    """What the master does once a minute; how many jobs are left."""
    import asyncio

    from master import config
    from master.blobs import Blobs
    from master.store import jobrows
    from master.store.store import Store

    async def once() -> int:
        daemon = Daemon(config.load(master.config, {}).value)
        daemon.store = Store(master.state_dir / "master.db")
        daemon.store.open()
        daemon.blobs = Blobs(master.state_dir / "blobs")
        try:
            await daemon._expire()
            return len(await daemon.store.read(lambda rows: jobrows.jobs(rows, 10)))
        finally:
            daemon.blobs.close()
            await daemon.store.close()

    return asyncio.run(once())


# --- the API to others ------------------------------------------------------------------------------------------

AS_NOBODY = """
import json, os, socket, sys
os.setgroups([]); os.setgid(65534); os.setuid(65534)
client = socket.socket(socket.AF_UNIX)
client.connect(sys.argv[1])
for number, call in enumerate(sys.argv[2:]):
    client.sendall(json.dumps({"id": number, "call": call, "args": {}}).encode() + b"\\n")
    print(client.makefile().readline(), end="")
"""


def as_nobody(master: MasterProcess, *calls: str) -> list[str]:
    """The error code of each call made by the user `nobody`, or `ok`."""
    done = subprocess.run(
        [sys.executable, "-c", AS_NOBODY, str(master.socket), *calls], capture_output=True, text=True, check=True
    )
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    return [answer["error"]["code"] if "error" in answer else "ok" for answer in answers]


@pytest.fixture
def shared() -> Iterator[Path]:
    """A folder that everybody can get to (pytest's own are closed to others)."""
    with tempfile.TemporaryDirectory(prefix="stackmaster-test-") as name:
        Path(name).chmod(0o755)
        yield Path(name)


@pytest.mark.parametrize(
    ("role", "codes"),
    [
        ("", ["refused", "refused", "refused"]),
        ("read", ["ok", "refused", "refused"]),
        ("operate", ["ok", "argument", "refused"]),
        ("admin", ["ok", "argument", "ok"]),
    ],
)
def test_a_local_user_may_what_his_role_says(shared: Path, role: str, codes: list[str]) -> None:
    with MasterProcess(shared, {"roles": {"nobody": role}} if role else {}) as master:
        os.chown(master.socket, 65534, -1)
        assert as_nobody(master, "status", "jobs.start", "keys.token") == codes


def test_others_cannot_connect_at_all(shared: Path) -> None:
    with MasterProcess(shared) as master, pytest.raises(subprocess.CalledProcessError) as raised:
        as_nobody(master, "status")
    assert "PermissionError" in raised.value.stderr


def raw(master: MasterProcess, line: bytes, patience: float = 5.0) -> bytes:
    """What comes back for a line that no client of ours would send."""
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(patience)
        client.connect(str(master.socket))
        client.sendall(line)
        return client.makefile("rb").readline()


@pytest.mark.parametrize(
    "line",
    [
        b"garbage\n", b"[]\n", b"{}\n", b'{"id": 1}\n', b'{"id": [], "call": "status"}\n', b"\xff\xfe\n",
        b'{"id": 1, "call": "status", "args": []}\n', b'{"id": 1, "call": "__init__"}\n',
        b'{"id": 1, "call": "jobs.start", "args": {"target": {"a": 1}}}\n', b"[" * 100_000 + b"\n",
        b'{"id": 1, "call": "jobs.show", "args": {"job": "%\\u0000"}}\n',
    ],
)  # fmt: skip
def test_what_is_no_request_is_answered_by_an_error(master: MasterProcess, line: bytes) -> None:
    assert "error" in json.loads(raw(master, line))
    assert master.call("status")["version"]
    assert "Traceback" not in master.logged()


def test_a_line_without_end_is_cut(master: MasterProcess) -> None:
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(10.0)
        client.connect(str(master.socket))
        try:
            for _ in range(40):
                client.sendall(b"x" * 200_000)
        except ConnectionError:
            pass
    assert master.call("status")["version"]


def test_how_many_connect_is_bounded(tmp_path: Path) -> None:
    with MasterProcess(tmp_path, {"api_connections": 3}) as master:
        clients = [Client(master.socket) for _ in range(3)]
        for client in clients:
            client.call("status")
        with pytest.raises(Exception, match=r"closed the connection|reset by peer|Broken pipe"):
            master.call("status")
        for client in clients:
            client.close()
        wait_for(lambda: master.call("status")["version"], "a free place")


def test_a_client_that_does_not_read_stops_nobody(master: MasterProcess) -> None:
    with master.admit(master.peer("osd1")) as peer, socket.socket(socket.AF_UNIX) as stopped:
        peer.join()
        stopped.connect(str(master.socket))
        stopped.sendall(b'{"id": 1, "call": "events.tail", "args": {"since": 0}}\n')
        peer.answer = lambda call: "x" * 500_000
        begun = time.monotonic()
        for number in range(6):
            master.call("jobs.start", target="osd1", function="test.ping")
            peer.until(lambda n=number: peer.acknowledged == n + 1, "the acknowledgement")  # type: ignore[misc]
        assert time.monotonic() - begun < 5.0


def test_every_call_is_audited(master: MasterProcess) -> None:
    import sqlite3

    with pytest.raises(MasterError):
        master.call("keys.accept", ids=["nobody-here"])
    master.call("keys.token", ttl=60.0)
    with pytest.raises(MasterError):
        master.call("jobs.start", target="osd1", nonsense=1)
    rows = sqlite3.connect(master.state_dir / "master.db").execute("SELECT user, call, arguments, outcome FROM audit")
    told = [(user, call, json.loads(arguments), outcome) for user, call, arguments, outcome in rows]
    assert ("root", "keys.accept", {"ids": ["nobody-here"]}, "allowed") in told
    assert ("root", "keys.token", {"ttl": 60.0, "uses": 1}, "allowed") in told
    assert ("root", "jobs.start", {"target": "osd1", "nonsense": 1}, "argument") in told


# --- secrets ----------------------------------------------------------------------------------------------------


def test_secrets_are_seen_nowhere(master: MasterProcess) -> None:
    """T24: each canary goes in by another way; what the master tells, stores in the end and logs has none of them."""
    pillar, override, returned = (f"c4n4ry-{number}-abcdef" for number in range(3))
    (master.pillar / "top.sls").write_text("base:\n  osd1:\n    - secrets\n")
    (master.pillar / "secrets.sls").write_text(f"db:\n  password: {pillar}\n")
    (master.states / "a.sls").write_text(
        "/a:\n  file.managed:\n    - contents: \"{{ pillar['db']['password'] }} {{ pillar['api_token'] }}\"\n"
    )
    with master.admit(master.peer("osd1")) as peer:
        peer.join()
        job = master.call("jobs.start", target="osd1", kind="apply", sls=["a"], pillar={"api_token": override})["job"]
        peer.until(lambda: peer.orders, "the command")
        assert pillar in str(peer.fetched(peer.orders[0][1]))  # type: ignore[arg-type]
        told = f"diff {pillar} {override} AQ{'A' * 36}=="
        again = master.call("jobs.start", target="osd1", kind="apply", sls=["a"], pillar={"api_token": override})["job"]
        peer.until(lambda: len(peer.orders) == 2, "the second command")
        peer.ended(again, JobState.FAILED, {"stdout": told, told: [told]}, told)
        peer.report(EventRaised("note", {"key": f"AQ{'B' * 36}==", "secret": Secret(returned)}, 1.0))
        peer.until(lambda: peer.acknowledged == 8, "the acknowledgements")
        shown: list[Any] = [master.call(name) for name in ("jobs.list", "keys.list", "status")]
        shown += [master.call("jobs.show", job=each) for each in (job, again)]
        shown += [master.call("pillar.show", minion="osd1"), master.call("compile", minion="osd1", sls=["a"],
                  pillar={"api_token": override})]  # fmt: skip
        shown.append([event.plain() for event in master.events()])
    with pytest.raises(MasterError) as raised:
        master.call("compile", minion="osd1", sls=["a"], pillar={"api_token": override, "db": "{{"})
    master.stop()
    seen = json.dumps(shown) + master.logged() + str(raised.value)
    stored = b"".join(path.read_bytes() for path in master.state_dir.glob("master.db*"))
    for canary in (pillar, override, returned, "A" * 30, "B" * 30):
        assert canary not in seen
        assert canary.encode() not in stored, canary


def test_the_lock_is_the_kernels(master: MasterProcess) -> None:
    with (master.state_dir / "lock").open("rb") as lock, pytest.raises(BlockingIOError):
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
