"""A Ceph daemon's own socket: what it says of itself, without monitors, keys or the `ceph` command."""

from __future__ import annotations

import json
import socket
import struct
from collections.abc import Mapping
from typing import Any, Final

from states.context import Context

RUN: Final = "/run/ceph"

ANSWER_TIMEOUT: Final = 5.0
"""Seconds for one question."""

_LARGEST: Final = 4 * 1024 * 1024
"""Bytes of an answer that are read; the answers asked for here are a few KiB."""


def ask(ctx: Context, daemon: str, command: str) -> Mapping[str, Any] | None:
    """What `daemon` (`mon.mon1`, `osd.3`) answers to `command` (`mon_status`, `status`); None while it does not.

    The protocol is that of Ceph's AdminSocket: a JSON request ended by NUL; the answer's length in 4 bytes, big
    endian, then the answer.
    """
    path = ctx.path(f"{RUN}/ceph-{daemon}.asok")
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as link:
            link.settimeout(ANSWER_TIMEOUT)
            link.connect(str(path))
            link.sendall(json.dumps({"prefix": command}).encode() + b"\0")
            (length,) = struct.unpack(">I", _exactly(link, 4))
            answer = json.loads(_exactly(link, min(length, _LARGEST)))
    except (OSError, ValueError):
        return None  # not there, not listening yet, or it does not know the command yet
    return answer if isinstance(answer, Mapping) else None


def own_monitor(ctx: Context) -> Mapping[str, Any] | None:
    """What the monitor of this host says of itself and its cluster (mon_status); None when none answers."""
    for path in sorted(ctx.path(RUN).glob("ceph-mon.*.asok")):
        said = ask(ctx, path.name.removeprefix("ceph-").removesuffix(".asok"), "mon_status")
        if said is not None:
            return said
    return None


def own_cluster(ctx: Context) -> str | None:
    """The fsid of the cluster of this host's monitor; None when none answers."""
    said = own_monitor(ctx)
    return None if said is None else str(said["monmap"]["fsid"])


def _exactly(link: socket.socket, count: int) -> bytes:
    got = bytearray()
    while len(got) < count:
        piece = link.recv(count - len(got))
        if not piece:
            raise ConnectionError("the daemon hung up")
        got += piece
    return bytes(got)
