"""A master's API that answers as a test tells it, on a real Unix socket, so that the command line can be driven."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

Answers = Sequence[Mapping[str, Any]]
Handler = Callable[[Mapping[str, Any]], Answers]


class FakeMaster:
    """Listens on `path`; `answers[call]` gives the lines sent back (`id` is filled in); remembers `calls`."""

    def __init__(self, path: Path, answers: Mapping[str, Handler | Answers]) -> None:
        self.path = path
        self.answers = dict(answers)
        self.calls: list[tuple[str, Mapping[str, Any]]] = []
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listener.bind(str(path))
        self._listener.listen(8)
        self._peers: list[socket.socket] = []
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def __enter__(self) -> FakeMaster:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(10)
        for peer in self._peers:
            peer.close()

    def asked(self, call: str) -> Mapping[str, Any]:
        """The arguments of the last call of that name."""
        return [args for name, args in self.calls if name == call][-1]

    def _serve(self) -> None:
        while True:
            try:
                peer, _ = self._listener.accept()
            except OSError:
                return
            self._peers.append(peer)
            threading.Thread(target=self._speak, args=(peer,), daemon=True).start()

    def _speak(self, peer: socket.socket) -> None:
        try:
            with peer.makefile("rwb") as lines:
                for line in lines:
                    request = json.loads(line)
                    name, args = request["call"], request["args"]
                    self.calls.append((name, args))
                    answer = self.answers.get(name)
                    if answer is None:
                        answer = [failed("call", f"no call {name}")]
                    for one in answer(args) if callable(answer) else answer:
                        lines.write(json.dumps({"id": request["id"], **one}).encode() + b"\n")
                        lines.flush()
        except (OSError, ValueError):
            with contextlib.suppress(OSError):
                peer.shutdown(socket.SHUT_RDWR)


def result(**content: Any) -> dict[str, Any]:
    """The line of a result."""
    return {"result": content}


def failed(code: str, message: str, *, exit_code: int = 1, help: str = "", **where: Any) -> dict[str, Any]:
    """The line of an error."""
    return {"error": {"code": code, "message": message, "help": help, "where": where, "exit_code": exit_code}}


def event(tag: str, at: float = 100.0, /, **data: Any) -> dict[str, Any]:
    """The line of an event."""
    return {"event": {"seq": 1, "tag": tag, "data": data, "at": at, "cause": ""}}


JOB = "00000001700000000000-3fa2bc"


def job_events(minions: Mapping[str, Mapping[str, Any]], **request: Any) -> list[dict[str, Any]]:
    """The stream of a whole job: `minions` maps an id to its end: state, reason, value, steps (results)."""
    told: dict[str, Any] = {"kind": "call", "function": "test.ping", "sls": [], "target": "*", "test": False}
    lines = [event(f"job/{JOB}/new", 100.0, **{**told, **request}, minions=list(minions))]
    for id, end in minions.items():
        base = f"job/{JOB}/minion/{id}"
        steps = end.get("steps", [])
        for index, step in enumerate(steps):
            lines.append(event(f"{base}/step/started", 100.1, index=index, total=len(steps), **step))
            lines.append(event(f"{base}/step/ended", 100.2, index=index, result=step))
        rest = {key: value for key, value in end.items() if key != "steps"}
        lines.append(event(f"{base}/state", 101.0, **{"reason": "", **rest}))
    states = {id: end["state"] for id, end in minions.items()}
    return [*lines, event(f"job/{JOB}/ended", 102.0, states=states), result(states=states)]


def step(function: str, name: str, outcome: bool | None = True, **more: Any) -> dict[str, Any]:
    """The result of one chunk as the API tells it."""
    return {
        "tag": f"{function}|{name}", "function": function, "id": name, "name": name, "sls": "s", "result": outcome,
        "comment": "", "changes": [], "ran": True, "duration": 0.1, "file": "s.sls", "line": 3, **more,
    }  # fmt: skip
