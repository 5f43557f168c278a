"""A master of few lines for tests of the real minion daemon: real CURVE, real signatures, no store, no compiler."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType

import zmq
from zmq.auth import CURVE_ALLOW_ANY
from zmq.auth.thread import ThreadAuthenticator

from protocol import WIRE_VERSION, codec, command, limits, sockets
from protocol.command import Order, Sealed
from protocol.identity import Identity, generate
from protocol.messages import (
    TO_DOOR,
    TO_MASTER,
    Acknowledge,
    BlobPart,
    BlobRequest,
    Enrol,
    Enrolment,
    Facts,
    Heartbeat,
    HeartbeatEcho,
    Hello,
    JobProgress,
    JobUpdate,
    Record,
    Report,
    ToMaster,
    ToMinion,
    Welcome,
)
from protocol.results import StepResult
from tests.demo.site import free_ports

ROOT = Path(__file__).resolve().parents[2]
PATIENCE = 20.0


@dataclass
class WireMaster:
    """Answers enrolment and one session; keeps all that it heard. `ack` False leaves Reports unacknowledged."""

    identity: Identity = field(default_factory=generate)
    blobs: dict[str, bytes] = field(default_factory=dict)
    heartbeat: float = 0.5
    ack: bool = True
    heard: list[ToMaster] = field(default_factory=list)
    sequence: int = 0

    def __enter__(self) -> WireMaster:
        self.context = sockets.context()
        self.authenticator = ThreadAuthenticator(self.context)
        self.authenticator.start()
        self.authenticator.configure_curve(domain="*", location=CURVE_ALLOW_ANY)
        self.open()
        return self

    def open(self, ports: tuple[int, int] | None = None) -> None:
        """Listen (again, on the same ports)."""
        self.door_port, self.port = ports or free_ports(2)
        address = "tcp://127.0.0.1:"
        self.door = sockets.listening(
            self.context, self.identity, f"{address}{self.door_port}", domain="test", limit=limits.MAX_ENROL_MESSAGE
        )
        self.socket = sockets.listening(
            self.context, self.identity, f"{address}{self.port}", domain="test", limit=limits.MAX_MESSAGE
        )
        self.peer = b""

    def close(self) -> None:
        """Stop listening, as a master that died."""
        self.door.close()
        self.socket.close()

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self.close()
        self.authenticator.stop()
        self.context.term()

    def serve_until(self, condition: Callable[[], object], what: str, patience: float = PATIENCE) -> None:
        """Answer the minion until `condition` holds. Raises AssertionError after `patience` seconds."""
        end = time.monotonic() + patience
        poller = zmq.Poller()
        poller.register(self.socket, zmq.POLLIN)
        poller.register(self.door, zmq.POLLIN)
        while not condition():
            assert time.monotonic() < end, f"not within {patience:.0f} s: {what}; heard {self.heard[-5:]}"
            for ready, _ in poller.poll(100):
                peer, raw = ready.recv_multipart()
                if ready is self.door:
                    self._enrol(peer, codec.decode(raw, TO_DOOR, limit=limits.MAX_ENROL_MESSAGE))
                else:
                    self._session(peer, codec.decode(raw, TO_MASTER))

    def _enrol(self, peer: bytes, request: Enrol) -> None:
        self.enrolled = request
        self.door.send_multipart([peer, codec.encode(Enrolment("accepted", "welcome"))])

    def _session(self, peer: bytes, message: ToMaster) -> None:
        self.peer = peer
        self.heard.append(message)
        if isinstance(message, Hello):
            self.send(Welcome(WIRE_VERSION, "test", self.heartbeat, 8))
        elif isinstance(message, Heartbeat):
            self.send(HeartbeatEcho(message.number))
        elif isinstance(message, Report) and self.ack:
            self.send(Acknowledge(message.number))
        elif isinstance(message, BlobRequest):
            content = self.blobs.get(message.digest)
            part = b"" if content is None else content[message.offset : message.offset + message.length]
            self.send(BlobPart(message.digest, message.offset, -1 if content is None else len(content), part))

    def send(self, message: ToMinion) -> None:
        """Send to the minion that spoke last."""
        self.socket.send_multipart([self.peer, codec.encode(message)])

    def order(self, minion: str, job: str, order: Order) -> Sealed:
        """Seal and send an order; the sealed command, for sending it again."""
        self.sequence += 1
        sealed = command.seal(self.identity, job, self.sequence, {minion: order}, time.time(), 60.0)[minion]
        self.send(sealed)
        return sealed

    def records(self) -> list[Record]:
        """Every record reported, repetitions included."""
        return [record for message in self.heard if isinstance(message, Report) for record in message.records]

    def ends(self, job: str) -> list[JobUpdate]:
        """The terminal records of a job."""
        return [r for r in self.records() if isinstance(r, JobUpdate) and r.job == job and r.state.terminal]

    def steps(self, job: str) -> list[StepResult]:
        """The step results of a job."""
        found = [r.progress for r in self.records() if isinstance(r, JobProgress) and r.job == job]
        return [progress.result for progress in found if hasattr(progress, "result")]

    def finish(self, job: str, patience: float = PATIENCE) -> JobUpdate:
        """Serve until the job ended; how."""
        self.serve_until(lambda: self.ends(job), f"the end of job {job}", patience)
        return self.ends(job)[0]

    def connected(self) -> None:
        """Serve until a new session of the minion stands (its greeting and then its grains came)."""
        before = len(self.heard)

        def stands() -> bool:
            kinds = [type(message) for message in self.heard[before:]]
            return Hello in kinds and Facts in kinds[kinds.index(Hello) :]

        self.serve_until(stands, "a session")


class RealMinion:
    """The daemon `stackminion` as a process of its own, under private folders."""

    def __init__(self, folder: Path, minion: str) -> None:
        self.folder = folder
        self.id = minion
        self.root = folder / "root"
        self.state = folder / "state"
        self.root.mkdir(parents=True)
        self.config = folder / "minion.yaml"
        self.config.write_text(f"id: {minion}\nroot: {self.root}\nstate_dir: {self.state}\n")
        self.process: subprocess.Popen[bytes] | None = None

    def command(self, *arguments: str, environment: Mapping[str, str] | None = None) -> subprocess.Popen[bytes]:
        """Start `stackminion ARGUMENTS`."""
        log = (self.folder / "log").open("ab")
        with log:
            return subprocess.Popen(
                [sys.executable, "-m", "minion.main", "--config", str(self.config), *arguments],
                cwd=ROOT,
                env={**os.environ, **(environment or {})},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def start(self) -> None:
        """Start the daemon."""
        self.process = self.command("serve")

    def stop(self) -> int:
        """SIGTERM; the exit status."""
        assert self.process is not None
        self.process.terminate()
        return self.process.wait(PATIENCE)

    def kill(self) -> None:
        """SIGKILL."""
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait(PATIENCE)

    def log(self) -> str:
        """What it printed."""
        return (self.folder / "log").read_text()
