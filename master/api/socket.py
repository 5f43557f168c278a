"""The Unix socket of the API: lines of JSON in and out, who is calling, deadlines, and slow clients cut."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import math
import os
import socket
import struct
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from master.api.audited import audited
from master.api.roles import Caller, caller
from master.api.table import Call, Table, bounded
from master.store import queries
from master.store.store import Event, Store
from protocol.data import Data
from protocol.errors import ArgumentError, DeadlineError, RefusedError, StackmasterError, StoreError
from protocol.secrets import MASK, Secret

log = logging.getLogger("stackmaster.api")

MAX_LINE = 4 * 1024 * 1024
"""Bytes of one line, in either direction."""

SLOWEST_CLIENT = 30.0
"""Seconds that a client may take to read what it was sent; then its connection is closed."""


class ApiServer:
    """The API on `path` (0660). `most` connections at once; `roles` as in MasterSettings."""

    def __init__(self, path: Path, table: Table, store: Store, roles: Mapping[str, str], most: int) -> None:
        self._path = path
        self._table = table
        self._store = store
        self._roles = roles
        self._most = most
        self._group = os.getegid()
        self._connections: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None
        self._closing = False

    async def start(self, group: int | None = None) -> None:
        """Listen. Raises StackmasterError when the socket cannot be made."""
        self._group = self._group if group is None else group
        try:
            if not self._path.parent.exists():
                self._path.parent.mkdir(parents=True)
                self._path.parent.chmod(0o755)
            _remove_dead(self._path)
            listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            listener.setblocking(False)
            # the process runs with umask 077: nobody else can connect before the mode is set
            listener.bind(str(self._path))
            if group is not None:
                os.chown(self._path, -1, group)
            self._path.chmod(0o660)
        except OSError as error:
            raise StackmasterError(
                f"the API's socket {self._path} cannot be made: {error.strerror}",
                help="set 'socket' in master.yaml to a place this user may write to",
            ) from None
        self._server = await asyncio.start_unix_server(self._connected, sock=listener, limit=MAX_LINE)

    async def close(self) -> None:
        """Take no more calls and end those that wait."""
        self._closing = True
        if self._server is not None:
            self._server.close()
        for task in list(self._connections):
            task.cancel()
        if self._connections:
            await asyncio.wait(self._connections, timeout=2.0)
        if self._server is not None:
            # a socket that is not ours, since starting failed, is another master's
            self._path.unlink(missing_ok=True)

    # --- one connection -----------------------------------------------------------------------------------------

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        connection = _Connection(reader, writer)
        try:
            who = self._caller(writer)
            if len(self._connections) > self._most:
                raise RefusedError("too many connections to the master", help="try again, or raise 'api_connections'")
            await self._serve(connection, who)
        except StackmasterError as error:
            with contextlib.suppress(ConnectionError, DeadlineError):
                await connection.send({"id": None, "error": error_data(error)})
        except (ConnectionError, asyncio.IncompleteReadError):
            log.debug("a client of the API left")
        except asyncio.CancelledError:
            # asyncio's server reports a handler that was cancelled as a fault; here it is how `close` ends it
            if not self._closing:
                raise
        finally:
            self._connections.discard(task)
            writer.close()

    def _caller(self, writer: asyncio.StreamWriter) -> Caller:
        peer = writer.get_extra_info("socket").getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
        _pid, uid, gid = struct.unpack("3i", peer)
        return caller(uid, gid, self._group, self._roles)

    async def _serve(self, connection: _Connection, who: Caller) -> None:
        while True:
            line = await connection.line()
            if not line:
                return
            request = _parse(line)
            number = request.get("id")
            task = asyncio.ensure_future(self._answer(connection, who, number, request))
            try:
                await connection.until_done(task, leaving_ends_it=self._is_stream(request))
            finally:
                task.cancel()
            if task.cancelled():
                return
            await connection.send(self._reply(number, task))

    def _is_stream(self, request: Mapping[str, Any]) -> bool:
        return any(call.name == request.get("call") and call.stream for call in self._table)

    def _reply(self, number: object, task: asyncio.Future[Mapping[str, Data]]) -> dict[str, Any]:
        error = task.exception()
        if error is None:
            return {"id": number, "result": task.result()}
        if isinstance(error, StackmasterError):
            return {"id": number, "error": error_data(error)}
        if not isinstance(error, Exception):
            raise error
        log.error("a call failed by a fault of the master", exc_info=error)
        fault = StackmasterError(
            f"a fault of the master: {type(error).__name__}", help="`journalctl -u stackmaster` tells more"
        )
        return {"id": number, "error": error_data(fault)}

    async def _answer(
        self, connection: _Connection, who: Caller, number: object, request: Mapping[str, Any]
    ) -> Mapping[str, Data]:
        call = self._table.find(request.get("call"))
        given = request.get("args") if request.get("args") is not None else {}
        try:
            who.require(call.access, call.name)
            arguments = self._table.arguments(call, given)
        except StackmasterError as error:
            await self._audit(who, call, given, error.code)
            raise
        await self._audit(who, call, arguments, "begun" if call.stream else "allowed")

        async def emit(event: Event) -> None:
            await connection.send({"id": number, "event": event_data(event)})

        if call.stream:
            return await call.handler(who, arguments, emit)
        try:
            async with asyncio.timeout(call.deadline):
                return await call.handler(who, arguments, emit)
        except TimeoutError:
            raise DeadlineError(f"{call.name} was not done within {call.deadline:g} s") from None

    async def _audit(self, who: Caller, call: Call, given: object, outcome: str) -> None:
        """Keep who asked what; a call that changes something waits until that is stored. Raises StoreError."""
        at = time.time()
        told = audited(given)
        done = self._store.submit(lambda tx: queries.append_audit(tx, at, who.user, call.name, told, outcome))
        if call.access != "read":
            await done
        else:
            done.add_done_callback(_log_failure)


class _Connection:
    """Lines of one client, and whether it is still there while it waits."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._next: asyncio.Task[bytes] | None = None

    async def line(self) -> bytes:
        """The next line without its end; empty at the end. Raises ArgumentError when it is too long."""
        task = self._next or asyncio.ensure_future(self._read())
        self._next = None
        return await task

    async def _read(self) -> bytes:
        try:
            return (await self._reader.readuntil(b"\n"))[:-1]
        except asyncio.IncompleteReadError:
            return b""
        except asyncio.LimitOverrunError:
            raise ArgumentError(f"a request is at most {MAX_LINE} bytes long") from None

    async def until_done(self, task: asyncio.Future[Any], *, leaving_ends_it: bool) -> None:
        """Wait for `task`; meanwhile notice when the client leaves, and cancel `task` then if it is only for him."""
        if self._next is None:
            self._next = asyncio.ensure_future(self._read())
        try:
            await asyncio.wait({task, self._next}, return_when=asyncio.FIRST_COMPLETED)
            if not task.done() and leaving_ends_it and self._left():
                task.cancel()
            await asyncio.wait({task})
        finally:
            if not self._next.done() and not task.done():
                self._next.cancel()

    def _left(self) -> bool:
        assert self._next is not None
        return self._next.done() and (self._next.exception() is not None or not self._next.result())

    async def send(self, message: Mapping[str, Any]) -> None:
        """Send a line. Raises ConnectionError when the client is gone or takes nothing, ArgumentError when too long."""
        line = _line(message)
        if len(line) > MAX_LINE and "event" in message:
            line = _line({**message, "event": {**message["event"], "data": {"shortened": True}}})
        if len(line) > MAX_LINE:
            if "error" in message:
                raise ConnectionError("an answer is too long")
            error = ArgumentError(f"the answer is longer than {MAX_LINE} bytes", help="ask for less at once")
            await self.send({"id": message["id"], "error": error_data(error)})
            return
        self._writer.write(line)
        try:
            async with asyncio.timeout(SLOWEST_CLIENT):
                await self._writer.drain()
        except TimeoutError:
            self._writer.transport.abort()
            raise ConnectionError("the client does not read") from None


def _parse(line: bytes) -> dict[str, Any]:
    try:
        request = json.loads(line)
    except (ValueError, RecursionError):
        raise ArgumentError("a request is one line of JSON") from None
    if not isinstance(request, dict) or not isinstance(request.get("id"), int | str | None):
        raise ArgumentError('a request is {"id": 1, "call": "…", "args": {…}}')
    bounded("a request", request.get("id"))
    return request


def _line(message: Mapping[str, Any]) -> bytes:
    """A message as a line of JSON; numbers that JSON does not have become null."""
    message = _masked(message)
    try:
        text = json.dumps(message, default=_plain, ensure_ascii=False, allow_nan=False)
    except ValueError:
        text = json.dumps(_finite(message), default=_plain, ensure_ascii=False)
    return text.encode("utf-8", "replace") + b"\n"


def _masked(value: Any) -> Any:
    """`value` without what a Secret hides: for the encoder of JSON it would be a string like any other."""
    if isinstance(value, Secret):
        return MASK
    if isinstance(value, Mapping):
        return {key: _masked(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_masked(item) for item in value]
    return value


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return value


def _remove_dead(path: Path) -> None:
    """Remove a socket that nobody listens on any more. Raises RefusedError when somebody does, OSError."""
    if path.exists() and not path.is_socket():
        raise RefusedError(f"{path} is no socket, and is not removed for one", help="set 'socket' in master.yaml")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(1.0)
        try:
            probe.connect(str(path))
        except (FileNotFoundError, ConnectionRefusedError):
            path.unlink(missing_ok=True)
            return
    raise RefusedError(f"another master listens on {path}", help="stop it, or give this one a 'socket' of its own")


def _plain(value: object) -> object:
    """What JSON has no word for."""
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, tuple | set | frozenset):
        return list(value)
    return str(value)


def error_data(error: StackmasterError) -> dict[str, Any]:
    """An error as the API tells it."""
    where = error.where
    return {
        "code": error.code,
        "message": error.message,
        "help": error.help,
        "where": {
            "file": where.file, "line": where.line, "column": where.column, "minion": where.minion, "step": where.step,
        },
        "exit_code": error.exit_code,
    }  # fmt: skip


def event_data(event: Event) -> dict[str, Any]:
    """An event as the API tells it."""
    return {"seq": event.seq, "tag": event.tag, "data": event.data, "at": event.at, "cause": event.cause}


def _log_failure(done: asyncio.Future[None]) -> None:
    error: BaseException | None = None if done.cancelled() else done.exception()
    if isinstance(error, StoreError):
        log.error("the audit misses a call: %s", error)
