"""systemd over D-Bus: one connection a process, on an event loop in a thread of its own, asked as plain functions."""

from __future__ import annotations

import asyncio
import concurrent.futures
import os
import threading
from collections.abc import Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

from protocol.errors import StateError
from states.context import Context
from states.host.unitview import Unit, Verb

if TYPE_CHECKING:
    from dbus_fast import Message
    from dbus_fast.aio import MessageBus

T = TypeVar("T")

_SOCKET: Final = "/run/dbus/system_bus_socket"
_NAME: Final = "org.freedesktop.systemd1"
_PATH: Final = "/org/freedesktop/systemd1"
_MANAGER: Final = "org.freedesktop.systemd1.Manager"
_MATCH: Final = f"type='signal',sender='{_NAME}',interface='{_MANAGER}',member='JobRemoved'"
_METHODS: Final[dict[Verb, str]] = {
    "start": "StartUnit",
    "stop": "StopUnit",
    "restart": "RestartUnit",
    "reload": "ReloadUnit",
}
_ABSENT: Final = frozenset({"org.freedesktop.systemd1.NoSuchUnit", "org.freedesktop.DBus.Error.FileNotFound"})
_CALL_DEADLINE: Final = 25.0
"""Seconds for a call that is answered at once: libdbus' own default."""
_CONNECT_DEADLINE: Final = 10.0
_KEPT_RESULTS: Final = 256
"""Job results kept for a waiter that is not there yet; others' jobs end here too."""

_lock: Final = threading.Lock()
_connections: Final[dict[tuple[int, Path], Bus]] = {}


class BusError(StateError):
    """systemd answered with an error; `name` is the D-Bus name of it."""

    code = "state.systemd"

    def __init__(self, name: str, message: str) -> None:
        super().__init__(message)
        self.name = name


def connect(ctx: Context) -> SystemBus | None:
    """systemd on the system bus under `ctx.root`, or None when there is no bus to reach."""
    socket = ctx.path(_SOCKET)
    if not socket.exists():
        return None
    with _lock:
        key = (os.getpid(), socket)
        bus = _connections.get(key)
        if bus is None or not bus.connected:
            try:
                bus = Bus(socket)
            except (OSError, EOFError):
                return None
            _connections[key] = bus
    return SystemBus(ctx, bus)


class Bus:
    """A connection and the loop that serves it. Calls may come from any thread."""

    def __init__(self, socket: Path) -> None:
        """Connect. Raises OSError or EOFError when nobody answers at `socket`."""
        self._loop = asyncio.new_event_loop()
        self._waiting: dict[str, asyncio.Future[str]] = {}
        self._ended: dict[str, str] = {}
        thread = threading.Thread(target=self._loop.run_forever, name="systemd-bus", daemon=True)
        thread.start()
        try:
            self._bus: MessageBus = self.wait_for(self._connect(socket), _CONNECT_DEADLINE, "the system bus")
        except (OSError, EOFError, StateError):
            self._loop.call_soon_threadsafe(self._loop.stop)
            thread.join(_CONNECT_DEADLINE)
            self._loop.close()
            raise

    @property
    def connected(self) -> bool:
        """Whether the connection stands."""
        return bool(self._bus.connected)

    def close(self) -> None:
        """End the connection; its thread ends with it."""
        self._bus.disconnect()
        self._loop.call_soon_threadsafe(self._loop.stop)

    def wait_for(self, work: Coroutine[Any, Any, T], deadline: float, what: str) -> T:
        """Run `work` on the loop. Raises StateError when it takes more than `deadline` seconds."""
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result(deadline)
        except concurrent.futures.TimeoutError:
            future.cancel()
            raise StateError(f"{what} did not come about within {deadline:g} s") from None

    async def call(self, path: str, interface: str, member: str, signature: str = "", *body: Any) -> list[Any]:
        """Call a method and give what it returns. Raises BusError."""
        from dbus_fast import Message, MessageType

        message = Message(
            destination=_NAME, path=path, interface=interface, member=member, signature=signature, body=list(body)
        )
        reply = await self._bus.call(message)
        if reply is None:
            raise BusError("", f"{member}: no answer from systemd")
        if reply.message_type is MessageType.ERROR:
            told = str(reply.body[0]) if reply.body else str(reply.error_name)
            raise BusError(str(reply.error_name), told)
        return list(reply.body)

    async def job(self, member: str, name: str, wait: bool) -> str:
        """Queue a job and give its result, or `queued` without waiting."""
        (path,) = await self.call(_PATH, _MANAGER, member, "ss", name, "replace")
        if not wait:
            return "queued"
        if path in self._ended:
            return self._ended.pop(path)
        self._waiting[path] = self._loop.create_future()
        try:
            return await self._waiting[path]
        finally:
            del self._waiting[path]

    async def _connect(self, socket: Path) -> MessageBus:
        from dbus_fast import Message
        from dbus_fast.aio import MessageBus

        bus = await MessageBus(bus_address=f"unix:path={socket}").connect()
        bus.add_message_handler(self._on_message)
        daemon = "org.freedesktop.DBus"
        await bus.call(
            Message(
                destination=daemon,
                path="/org/freedesktop/DBus",
                interface=daemon,
                member="AddMatch",
                signature="s",
                body=[_MATCH],
            )
        )
        await bus.call(Message(destination=_NAME, path=_PATH, interface=_MANAGER, member="Subscribe"))
        return bus

    def _on_message(self, message: Message) -> None:
        if message.member != "JobRemoved" or message.interface != _MANAGER:
            return
        _, path, _, result = message.body
        future = self._waiting.get(path)
        if future is not None:
            if not future.done():
                future.set_result(result)
            return
        self._ended[path] = result
        while len(self._ended) > _KEPT_RESULTS:
            self._ended.pop(next(iter(self._ended)))


class SystemBus:
    """systemd over D-Bus; see states.host.systemd.Systemd for what each method is to do."""

    def __init__(self, ctx: Context, bus: Bus) -> None:
        self._ctx = ctx
        self._bus = bus

    def unit(self, name: str) -> Unit:
        """All properties of the unit's object, which systemd makes when it is asked for."""
        path = f"{_PATH}/unit/{object_name(name)}"
        answer = self._call(path, "org.freedesktop.DBus.Properties", "GetAll", "s", "")
        return unit_of(name, {key: variant.value for key, variant in answer[0].items()})

    def file_state(self, name: str) -> str:
        """GetUnitFileState: fresh, where the unit's own property is as of the last daemon-reload. Raises StateError."""
        try:
            return str(self._call(_PATH, _MANAGER, "GetUnitFileState", "s", name)[0])
        except BusError as error:
            if error.name in _ABSENT:
                return ""
            raise

    def job(self, verb: Verb, name: str, *, wait: bool = True) -> str:
        """The job's result by its JobRemoved signal."""
        what = f"the end of the {verb} job of {name}"
        try:
            return self._bus.wait_for(self._bus.job(_METHODS[verb], name, wait), self._ctx.deadline, what)
        except BusError as error:
            raise self._told(error) from None

    def reset_failed(self, name: str) -> None:
        """ResetFailedUnit."""
        self._call(_PATH, _MANAGER, "ResetFailedUnit", "s", name)

    def reload_daemon(self) -> None:
        """Reload; systemd answers when it is done."""
        self._call(_PATH, _MANAGER, "Reload", deadline=self._ctx.deadline)

    def _call(
        self, path: str, interface: str, member: str, signature: str = "", *body: Any, deadline: float = _CALL_DEADLINE
    ) -> list[Any]:
        work = self._bus.call(path, interface, member, signature, *body)
        try:
            return self._bus.wait_for(work, deadline, f"systemd's answer to {member}")
        except BusError as error:
            raise self._told(error) from None
        except (OSError, EOFError) as error:
            raise StateError(f"the connection to the system bus broke: {error}") from None

    def _told(self, error: BusError) -> BusError:
        return BusError(error.name, self._ctx.scrubber.text(error.message))


def object_name(unit: str) -> str:
    """A unit's name as the last part of its object path: all but ASCII letters and digits as `_xx`."""
    encoded = [
        f"{chr(byte)}" if chr(byte).isascii() and chr(byte).isalnum() else f"_{byte:02x}" for byte in unit.encode()
    ]
    if encoded and encoded[0].isdigit():
        encoded[0] = f"_{ord(encoded[0]):02x}"
    return "".join(encoded)


def unit_of(name: str, given: dict[str, Any]) -> Unit:
    """The unit with the properties `given`."""
    load_error = given.get("LoadError") or ("", "")
    return Unit(
        name,
        load=str(given.get("LoadState", "not-found")),
        active=str(given.get("ActiveState", "inactive")),
        sub=str(given.get("SubState", "dead")),
        need_reload=bool(given.get("NeedDaemonReload")),
        can_reload=bool(given.get("CanReload")),
        conditions_met=bool(given.get("ConditionResult", True)),
        type=str(given.get("Type", "")),
        remains=bool(given.get("RemainAfterExit")),
        result=str(given.get("Result", "")),
        killed=given.get("ExecMainCode") in (2, 3),
        exit_status=int(given.get("ExecMainStatus", 0)),
        fragment=str(given.get("FragmentPath", "")),
        load_error=str(load_error[1]),
        invocation=bytes(given.get("InvocationID", b"")).hex(),
    )
