"""ZeroMQ sockets with every bound set; a library that is too old or has no CURVE is refused."""

from __future__ import annotations

import random
from typing import Any

import zmq

from protocol import limits
from protocol.errors import StackmasterError
from protocol.identity import Identity

OLDEST = (4, 3, 4)
"""Older ones can be stopped or overrun by peers without a key (CVE-2019-13132, CVE-2020-15166, CVE-2021-20237)."""

HEARTBEAT_MS = 5_000
"""ZMTP pings under our own heartbeats: they find a dead TCP peer while nothing of ours is to be said."""


def require_safe_library() -> None:
    """Refuse to go on with a libzmq older than 4.3.4 or without CURVE. Raises StackmasterError."""
    version = tuple(map(int, zmq.zmq_version().split(".")[:3]))
    if version < OLDEST:
        raise StackmasterError(f"libzmq {zmq.zmq_version()} has known holes", help="install libzmq 4.3.4 or newer")
    if not zmq.has("curve"):
        raise StackmasterError("libzmq was built without CURVE", help="install a libzmq with libsodium")


def context() -> zmq.Context[zmq.Socket[bytes]]:
    """A ZeroMQ context for a daemon with many peers."""
    require_safe_library()
    made: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    made.set(zmq.MAX_SOCKETS, 4096)
    return made


def _bound(socket: zmq.Socket[bytes], limit: int, queue: int = limits.SEND_QUEUE) -> None:
    options: dict[int, Any] = {
        zmq.LINGER: 0,
        zmq.SNDHWM: queue,
        zmq.RCVHWM: limits.SEND_QUEUE,
        zmq.MAXMSGSIZE: limit,
        zmq.HEARTBEAT_IVL: HEARTBEAT_MS,
        zmq.HEARTBEAT_TIMEOUT: 3 * HEARTBEAT_MS,
        zmq.HEARTBEAT_TTL: 3 * HEARTBEAT_MS,
        zmq.HANDSHAKE_IVL: 10_000,
        zmq.IPV6: 1,
        zmq.TCP_KEEPALIVE: 1,
        zmq.TCP_KEEPALIVE_IDLE: 30,
        zmq.TCP_KEEPALIVE_INTVL: 10,
        zmq.TCP_KEEPALIVE_CNT: 3,
    }
    for option, value in options.items():
        socket.setsockopt(option, value)


def listening(
    context: zmq.Context[zmq.Socket[bytes]],
    identity: Identity,
    address: str,
    *,
    domain: str,
    limit: int,
    queue: int = limits.SEND_QUEUE,
) -> zmq.Socket[bytes]:
    """A bound ROUTER that speaks CURVE as `identity`; ZAP is asked about every peer in `domain`, and nobody gets in
    while no ZAP handler is bound.

    `limit` is the largest frame in bytes, `queue` how many may wait for one peer. Raises StackmasterError when the
    address cannot be bound.
    """
    socket = context.socket(zmq.ROUTER)
    _bound(socket, limit, queue)
    socket.setsockopt(zmq.RCVHWM, limits.UNREAD)
    socket.setsockopt(zmq.BACKLOG, 1024)
    socket.setsockopt(zmq.ROUTER_MANDATORY, 1)
    socket.setsockopt(zmq.ROUTER_HANDOVER, 0)
    socket.setsockopt(zmq.ZAP_DOMAIN, domain.encode("ascii"))
    socket.setsockopt(zmq.ZAP_ENFORCE_DOMAIN, 1)
    socket.setsockopt(zmq.CURVE_SERVER, 1)
    socket.setsockopt(zmq.CURVE_SECRETKEY, identity.curve_secret)
    socket.setsockopt(zmq.CURVE_PUBLICKEY, identity.curve_public.encode("ascii"))
    try:
        socket.bind(address)
    except zmq.ZMQError as error:
        socket.close()
        raise StackmasterError(
            f"cannot listen on {address}: {error.strerror}",
            help="is another master running, or is the address not on this machine?",
        ) from None
    return socket


def connecting(
    context: zmq.Context[zmq.Socket[bytes]], identity: Identity, server: str, address: str
) -> zmq.Socket[bytes]:
    """A DEALER to `address` that speaks CURVE as `identity` and takes none but `server` (its CURVE key, Z85).

    It reconnects by itself for ever, first after 0.2 to 0.5 s (jittered), doubling to 10 s at most.
    """
    socket = context.socket(zmq.DEALER)
    _bound(socket, limits.MAX_MESSAGE)
    socket.setsockopt(zmq.RECONNECT_IVL, random.randint(200, 500))
    socket.setsockopt(zmq.RECONNECT_IVL_MAX, 10_000)
    socket.setsockopt(zmq.CONNECT_TIMEOUT, 10_000)
    socket.setsockopt(zmq.CURVE_SERVERKEY, server.encode("ascii"))
    socket.setsockopt(zmq.CURVE_PUBLICKEY, identity.curve_public.encode("ascii"))
    socket.setsockopt(zmq.CURVE_SECRETKEY, identity.curve_secret)
    try:
        socket.connect(address)
    except zmq.ZMQError:
        socket.close()
        raise
    return socket


def endpoint(address: str, port: int) -> str:
    """`host`, `host:port` or `[v6]:port` as a ZeroMQ address; `port` when none is named."""
    host, colon, given = address.rpartition(":")
    if colon and given.isdigit() and (host.count(":") == 0 or host.startswith("[")):
        return f"tcp://{host}:{given}"
    if ":" in address and not address.startswith("["):
        address = f"[{address}]"
    return f"tcp://{address}:{port}"
