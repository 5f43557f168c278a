"""Nobody gets in while the ZAP handler is not there, does not answer, or answers for another domain."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
import zmq

from protocol import limits, sockets
from protocol.identity import generate
from tests.demo.site import free_ports

Context = zmq.Context[zmq.Socket[bytes]]
MASTER = generate()


@pytest.fixture
def context() -> Iterator[Context]:
    made = sockets.context()
    yield made
    made.destroy(linger=0)


def heard(context: Context, listener: zmq.Socket[bytes], patience: int = 500) -> bool:
    """Whether a word of a peer with a fresh key arrives."""
    address = str(listener.get_string(zmq.LAST_ENDPOINT))
    with sockets.connecting(context, generate(), MASTER.curve_public, address) as peer:
        peer.send(b"hello")
        return bool(listener.poll(patience))


def listening(context: Context) -> zmq.Socket[bytes]:
    address = f"tcp://127.0.0.1:{free_ports(1)[0]}"
    return sockets.listening(context, MASTER, address, domain="session", limit=limits.MAX_MESSAGE)


def test_without_a_handler_nobody_is_heard(context: Context) -> None:
    with listening(context) as listener:
        assert not heard(context, listener)


def test_a_handler_that_does_not_answer_lets_nobody_in(context: Context) -> None:
    with context.socket(zmq.ROUTER) as handler:
        handler.bind("inproc://zeromq.zap.01")
        with listening(context) as listener:
            assert not heard(context, listener)
        assert handler.poll(0)


def test_a_handler_that_was_closed_lets_nobody_in(context: Context) -> None:
    handler = context.socket(zmq.REP)
    handler.bind("inproc://zeromq.zap.01")
    answering = threading.Thread(target=_answer_one, args=(handler,))
    answering.start()
    with listening(context) as listener:
        assert heard(context, listener, 10_000)
        listener.recv_multipart()
        answering.join()
        handler.close()
        assert not heard(context, listener)


def _answer_one(handler: zmq.Socket[bytes]) -> None:
    _, request, *_ = handler.recv_multipart()
    handler.send_multipart([b"1.0", request, b"200", b"OK", b"somebody", b""])
