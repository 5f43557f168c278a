"""The network interfaces of this host and their addresses, asked of the kernel by rtnetlink(7)."""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field

_REQUEST_DUMP = 0x1 | 0x300  # NLM_F_REQUEST | NLM_F_DUMP, linux/netlink.h
_ERROR, _DONE = 2, 3
_GET_LINK, _GET_ADDRESS = 18, 22  # RTM_GETLINK, RTM_GETADDR, linux/rtnetlink.h
_LINK_ADDRESS, _LINK_NAME = 1, 3  # IFLA_ADDRESS, IFLA_IFNAME, linux/if_link.h
_ADDRESS, _LOCAL = 1, 2  # IFA_ADDRESS, IFA_LOCAL, linux/if_addr.h
_HEADER = struct.Struct("=IHHII")
_LINK = struct.Struct("=BxHiII")
_ADDRESS_HEAD = struct.Struct("=BBBBI")
_PATIENCE = 2.0
"""Seconds to wait for the kernel, which answers at once."""


@dataclass(slots=True)
class Interface:
    """One network interface: `hwaddr` as `00:11:…` or empty, addresses as text without prefix."""

    name: str
    up: bool
    hwaddr: str
    ipv4: list[str] = field(default_factory=list)
    ipv6: list[str] = field(default_factory=list)


def interfaces() -> list[Interface]:
    """All interfaces in the kernel's order. Raises OSError (TimeoutError included) when the kernel does not tell."""
    found: dict[int, Interface] = {}
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0) as kernel:
        kernel.settimeout(_PATIENCE)
        kernel.bind((0, 0))
        for body in _dump(kernel, _GET_LINK, 1):
            _, _, index, flags, _ = _LINK.unpack_from(body)
            attributes = _attributes(body[_LINK.size :])
            name = attributes.get(_LINK_NAME, b"").rstrip(b"\0").decode("utf-8", "replace")
            found[index] = Interface(name, bool(flags & 1), attributes.get(_LINK_ADDRESS, b"").hex(":"))
        for body in _dump(kernel, _GET_ADDRESS, 2):
            family, _, _, _, index = _ADDRESS_HEAD.unpack_from(body)
            attributes = _attributes(body[_ADDRESS_HEAD.size :])
            raw = attributes.get(_LOCAL) or attributes.get(_ADDRESS)
            if index not in found or raw is None:
                continue
            if family == socket.AF_INET:
                found[index].ipv4.append(socket.inet_ntop(socket.AF_INET, raw))
            elif family == socket.AF_INET6:
                found[index].ipv6.append(socket.inet_ntop(socket.AF_INET6, raw))
    return list(found.values())


def _dump(kernel: socket.socket, kind: int, sequence: int) -> Iterator[bytes]:
    body = struct.pack("=Bxxx", socket.AF_UNSPEC) + bytes(12)
    kernel.send(_HEADER.pack(_HEADER.size + len(body), kind, _REQUEST_DUMP, sequence, 0) + body)
    while True:
        packet = kernel.recv(65536)
        while len(packet) >= _HEADER.size:
            length, what, _, answers, _ = _HEADER.unpack_from(packet)
            if answers == sequence:
                if what == _DONE:
                    return
                if what == _ERROR:
                    code = -struct.unpack_from("=i", packet, _HEADER.size)[0]
                    raise OSError(code, os.strerror(code))
                yield packet[_HEADER.size : length]
            packet = packet[(length + 3) & ~3 :]


def _attributes(raw: bytes) -> dict[int, bytes]:
    found: dict[int, bytes] = {}
    while len(raw) >= 4:
        length, kind = struct.unpack_from("=HH", raw)
        if length < 4:
            break
        found[kind & 0x3FFF] = raw[4:length]
        raw = raw[(length + 3) & ~3 :]
    return found
