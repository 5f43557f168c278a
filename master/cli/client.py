"""The master's API from the other side: one line of JSON out, one or many back, over its Unix socket."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Final

from protocol.errors import DeadlineError, StackmasterError, UnreachableError, Where

MAX_LINE: Final = 4 * 1024 * 1024
"""Bytes of one line, as in the API's contract."""

CONNECT: Final = 5.0
"""Seconds in which a master on this host must take the connection."""

ANSWER: Final = 120.0
"""Seconds in which a call must be answered; compiling for a fleet is the slowest."""

Answer = dict[str, Any]


class MasterError(StackmasterError):
    """An error that the master answered with: its own code and exit code."""

    def __init__(self, code: str, exit_code: int, message: str, *, where: Where, help: str) -> None:
        super().__init__(message, where=where, help=help)
        self.answered_code = code
        self.answered_exit = exit_code


@dataclass(frozen=True, slots=True)
class Event:
    """One event of a stream; `at` in seconds since the epoch."""

    tag: str
    data: Mapping[str, Any]
    at: float = 0.0
    seq: int = 0
    cause: str = ""

    def plain(self) -> dict[str, Any]:
        """The event for a program."""
        return {"seq": self.seq, "tag": self.tag, "at": self.at, "cause": self.cause, "data": dict(self.data)}


class Client:
    """One connection; calls on it follow each other. Raises UnreachableError when nobody listens."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._buffer = bytearray()
        self._number = 0
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
        self._socket.settimeout(CONNECT)
        try:
            self._socket.connect(str(path))
        except OSError as error:
            self._socket.close()
            raise _unreachable(path, error) from None

    def __enter__(self) -> Client:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """End the connection; a stream on it ends at the master too."""
        self._socket.close()

    def call(self, name: str, args: Mapping[str, Any] | None = None, *, deadline: float = ANSWER) -> Answer:
        """Ask and wait for the result. Raises MasterError, UnreachableError, DeadlineError (after `deadline` s)."""
        number = self._ask(name, args or {})
        until = time.monotonic() + deadline
        while True:
            answer = self._line(until - time.monotonic())
            if answer is None:
                raise DeadlineError(
                    f"the master did not answer {name!r} within {deadline:g} s",
                    help="`journalctl -u stackmaster` tells what it is doing",
                )
            if answer.get("id") == number and "event" not in answer:
                return _result(answer)

    def stream(self, name: str, args: Mapping[str, Any] | None = None) -> Stream:
        """Ask for a stream of events; take them with `Stream.next`."""
        return Stream(self, self._ask(name, args or {}))

    def _ask(self, name: str, args: Mapping[str, Any]) -> int:
        self._number += 1
        line = json.dumps({"id": self._number, "call": name, "args": args}, default=_plain).encode() + b"\n"
        if len(line) > MAX_LINE:
            raise StackmasterError(f"the request is {len(line)} bytes long; {MAX_LINE} are allowed")
        self._socket.settimeout(ANSWER)
        try:
            self._socket.sendall(line)
        except OSError as error:
            raise _unreachable(self._path, error) from None
        return self._number

    def _line(self, timeout: float) -> Answer | None:
        """The next line from the master, or None when none came within `timeout` seconds."""
        until = time.monotonic() + timeout
        while (end := self._buffer.find(b"\n")) < 0:
            if len(self._buffer) > MAX_LINE:
                raise UnreachableError("the master sent a line longer than the API allows")
            self._socket.settimeout(max(until - time.monotonic(), 0.001))
            try:
                part = self._socket.recv(262_144)
            except TimeoutError:
                return None
            except OSError as error:
                raise _unreachable(self._path, error) from None
            if not part:
                raise UnreachableError(
                    "the master closed the connection", help="`systemctl status stackmaster` tells whether it runs"
                )
            self._buffer += part
        line = bytes(self._buffer[:end])
        del self._buffer[: end + 1]
        try:
            answer = json.loads(line)
        except ValueError:
            raise UnreachableError(f"{self._path} does not speak the master's API") from None
        return answer if isinstance(answer, dict) else {}


class Stream:
    """Events of one call until its result; `result` is None as long as more may come."""

    def __init__(self, client: Client, number: int) -> None:
        self._client = client
        self._number = number
        self.result: Answer | None = None

    def next(self, timeout: float) -> Event | None:
        """The next event, or None when none came within `timeout` seconds or the stream ended (see `result`)."""
        if self.result is not None:
            return None
        answer = self._client._line(timeout)
        if answer is None or answer.get("id") != self._number:
            return None
        event = answer.get("event")
        if isinstance(event, dict):
            return event_from(event)
        self.result = _result(answer)
        return None


def event_from(raw: Mapping[str, Any]) -> Event:
    """The event in an answer of the API."""
    return Event(
        str(raw.get("tag", "")), raw.get("data") or {}, float(raw.get("at") or 0.0), int(raw.get("seq") or 0),
        str(raw.get("cause") or ""),
    )  # fmt: skip


def _result(answer: Answer) -> Answer:
    error = answer.get("error")
    if isinstance(error, dict):
        raise error_from(error)
    result = answer.get("result")
    return result if isinstance(result, dict) else {}


def error_from(error: Mapping[str, Any]) -> MasterError:
    """The error in an answer of the API."""
    place = error.get("where") or {}
    where = Where(
        file=str(place.get("file") or ""), line=int(place.get("line") or 0), column=int(place.get("column") or 0),
        minion=str(place.get("minion") or ""), step=str(place.get("step") or ""),
    )  # fmt: skip
    return MasterError(
        str(error.get("code") or "internal"), int(error.get("exit_code") or 1), str(error.get("message") or "error"),
        where=where, help=str(error.get("help") or ""),
    )  # fmt: skip


def exit_code(error: StackmasterError) -> int:
    """The exit code an error stands for, also when the master answered with it."""
    return error.answered_exit if isinstance(error, MasterError) else error.exit_code


def _plain(value: object) -> object:
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if isinstance(value, Mapping):
        return dict(value)
    return str(value)


def _unreachable(path: Path, error: OSError) -> UnreachableError:
    if isinstance(error, PermissionError):
        help = "run it as root or as a member of the group `stackmaster`"
    else:
        help = "start it with `systemctl start stackmaster`, or name its socket with STACKMASTER_SOCKET or --config"
    reason = error.strerror or str(error)
    return UnreachableError(f"the master cannot be reached: {reason}", where=Where(file=str(path)), help=help)
