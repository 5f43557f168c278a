"""The real master in a process of its own, for tests: its configuration, its API, its end."""

from __future__ import annotations

import fnmatch
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

import yaml

from master.cli.client import Client, Event
from protocol.errors import UnreachableError
from protocol.identity import Identity, PublicIdentity, load
from protocol.token import read_token
from tests.demo.site import free_ports
from tests.functional.wire_peer import WirePeer

ROOT = Path(__file__).resolve().parents[2]
PATIENCE = 20.0
SERVE = "import sys; from pathlib import Path; from master.daemon import serve; sys.exit(serve(Path(sys.argv[1])))"


@dataclass
class MasterProcess:
    """A master under `folder`; `more` are further settings."""

    folder: Path
    more: dict[str, Any] = field(default_factory=dict)
    process: subprocess.Popen[bytes] | None = None

    def __post_init__(self) -> None:
        self.door, self.port = free_ports(2)
        self.socket = self.folder / "api.sock"
        self.state_dir = self.folder / "state"
        self.states = self.folder / "states"
        self.pillar = self.folder / "pillar"
        for folder in (self.states, self.pillar):
            folder.mkdir(exist_ok=True)
        self.config = self.folder / "master.yaml"
        settings = {
            "interface": "127.0.0.1", "enrol_port": self.door, "session_port": self.port, "socket": str(self.socket),
            "state_dir": str(self.state_dir), "heartbeat": 0.4, "enrol_rate": 100, "enrol_total_rate": 1000,
            "file_roots": {"base": [str(self.states)]}, "pillar_roots": {"base": [str(self.pillar)]}, **self.more,
        }  # fmt: skip
        self.config.write_text(yaml.safe_dump(settings))

    def __enter__(self) -> MasterProcess:
        self.start()
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self.stop()

    def start(self) -> None:
        """Start it and wait until it answers."""
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"}
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-c", SERVE, str(self.config)], env=environment, stderr=log, cwd=self.folder
            )
        try:
            wait_for(self._answers, "the master to answer")
        except AssertionError:
            self.stop(signal.SIGKILL)
            raise

    def _answers(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, f"the master ended: {self.logged()}"
        try:
            self.call("status")
        except UnreachableError:
            return False
        return True

    def logged(self) -> str:
        """What it wrote to its log."""
        return (self.folder / "log").read_text("utf-8", "replace")

    def stop(self, number: signal.Signals = signal.SIGTERM) -> float:
        """End it; gives how many seconds that took."""
        if self.process is None:
            return 0.0
        begun = time.monotonic()
        self.process.send_signal(number)
        try:
            self.process.wait(PATIENCE)
        finally:
            self.process.kill()
            self.process.wait()
            self.process = None
        return time.monotonic() - begun

    def kill(self) -> None:
        """End it as a crash would."""
        self.stop(signal.SIGKILL)

    # --- the API ------------------------------------------------------------------------------------------------

    def call(self, name: str, **args: Any) -> dict[str, Any]:
        """One call of the API."""
        with Client(self.socket) as client:
            return client.call(name, args, deadline=PATIENCE)

    def events(self, pattern: str = "*", since: int = 0) -> list[Event]:
        """The events stored so far."""
        last = int(self.call("status")["last_event"])
        found: list[Event] = []
        with Client(self.socket) as client:
            stream = client.stream("events.tail", {"pattern": "*", "since": since})
            while (found[-1].seq if found else since) < last:
                event = stream.next(PATIENCE)
                assert event is not None, "the events ended early"
                found.append(event)
        return [event for event in found if fnmatch.fnmatchcase(event.tag, pattern)]

    def tags(self) -> list[str]:
        """The tags of the events stored so far."""
        return [event.tag for event in self.events()]

    def wait_event(self, pattern: str) -> Event:
        """Wait for an event."""
        wait_for(lambda: self.events(pattern), f"the event {pattern}")
        return self.events(pattern)[-1]

    def wait_job(self, job: str) -> dict[str, Any]:
        """Wait until a job ended; gives what the API shows of it."""
        wait_for(lambda: self.call("jobs.show", job=job)["ended"], f"the end of job {job}")
        return self.call("jobs.show", job=job)

    # --- minions ------------------------------------------------------------------------------------------------

    @property
    def key(self) -> PublicIdentity:
        """The master's public key."""
        return load(self.state_dir / "identity").public

    def token(self, uses: int = 1, ttl: float = 60.0) -> str:
        """The secret of a new token."""
        return read_token(self.call("keys.token", uses=uses, ttl=ttl)["token"]).secret

    def peer(self, minion: str, identity: Identity | None = None, **more: Any) -> WirePeer:
        """A peer that knows this master."""
        if identity is not None:
            more["identity"] = identity
        return WirePeer(minion, self.key, self.port, **more)

    def admit(self, peer: WirePeer) -> WirePeer:
        """Have a peer accepted by a token."""
        answer = peer.enrol(self.door, self.token())
        assert answer is not None and answer.state == "accepted", answer
        return peer


def wait_for(condition: Callable[[], object], what: str, patience: float = PATIENCE) -> None:
    """Poll until `condition` holds. Raises AssertionError after `patience` seconds."""
    end = time.monotonic() + patience
    while not condition():
        assert time.monotonic() < end, f"not within {patience:.0f} s: {what}"
        time.sleep(0.02)
