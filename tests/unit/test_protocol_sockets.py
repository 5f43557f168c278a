"""A wire library with known holes is refused; addresses are read as people write them; a bad one leaks nothing."""

from __future__ import annotations

import pytest
import zmq

from protocol import limits, sockets
from protocol.errors import StackmasterError
from protocol.identity import generate


@pytest.mark.parametrize("version", ["4.3.3", "4.2.5", "3.2.0"])
def test_an_old_library_is_refused(monkeypatch: pytest.MonkeyPatch, version: str) -> None:
    monkeypatch.setattr(zmq, "zmq_version", lambda: version)
    with pytest.raises(StackmasterError, match=f"{version} has known holes"):
        sockets.require_safe_library()


def test_a_library_without_curve_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(zmq, "has", lambda feature: False)
    with pytest.raises(StackmasterError, match="without CURVE"):
        sockets.require_safe_library()


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("ctl1", "tcp://ctl1:4506"),
        ("ctl1:99", "tcp://ctl1:99"),
        ("10.0.0.1", "tcp://10.0.0.1:4506"),
        ("fd00::1", "tcp://[fd00::1]:4506"),
        ("[fd00::1]", "tcp://[fd00::1]:4506"),
        ("[fd00::1]:99", "tcp://[fd00::1]:99"),
    ],
)
def test_addresses(written: str, meant: str) -> None:
    assert sockets.endpoint(written, 4506) == meant


def test_a_bad_address_leaves_no_socket_open() -> None:
    context, identity = sockets.context(), generate()
    with pytest.raises(zmq.ZMQError):
        sockets.connecting(context, identity, identity.curve_public, "tcp://bad host!:1")
    context.term()


def test_a_taken_address_is_told() -> None:
    context, identity = sockets.context(), generate()
    first = sockets.listening(context, identity, "tcp://127.0.0.1:*", domain="x", limit=100)
    address = first.getsockopt_string(zmq.LAST_ENDPOINT)
    with pytest.raises(StackmasterError, match="another master"):
        sockets.listening(context, identity, address, domain="x", limit=100)
    first.close()
    context.term()


def test_what_one_peer_may_leave_unread_is_bounded() -> None:
    context = sockets.context()
    with sockets.listening(context, generate(), "tcp://127.0.0.1:*", domain="x", limit=limits.MAX_MESSAGE) as socket:
        unread, largest = socket.getsockopt(zmq.RCVHWM), socket.getsockopt(zmq.MAXMSGSIZE)
    context.term()
    assert isinstance(unread, int) and isinstance(largest, int)
    assert unread * largest <= 128 * 1024 * 1024
