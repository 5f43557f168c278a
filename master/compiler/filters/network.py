"""Filters on addresses: which are addresses of which kind, networks and their hosts."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

MOST_HOSTS: Final = 2**18
"""Hosts of a network that may be listed."""


_KINDS: Final[Mapping[str, Callable[[Any], bool]]] = {
    "global": lambda found: not found.is_private,
    "public": lambda found: not found.is_private,
    "private": lambda found: bool(found.is_private),
    "link-local": lambda found: bool(found.is_link_local),
    "loopback": lambda found: bool(found.is_loopback),
    "multicast": lambda found: bool(found.is_multicast),
    "reserved": lambda found: bool(found.is_reserved),
    "site-local": lambda found: bool(getattr(found, "is_site_local", False)),
    "unspecified": lambda found: bool(found.is_unspecified),
}
_ALSO: Final = {"linklocal": "link-local", "ll": "link-local", "link_local": "link-local", "lo": "loopback",
                "sl": "site-local", "site_local": "site-local"}  # fmt: skip
"""Other names of kinds."""


def one(value: Any, version: int | None, options: str | None = None) -> str | None:
    """`value` when it is an address, or an address with its network, of `version` and of every kind in `options`."""
    found: Any
    try:
        found = ipaddress.ip_address(value)
    except ValueError:
        try:
            found = ipaddress.ip_interface(value)
        except ValueError:
            return None
    if version is not None and found.version != version:
        return None
    for option in str(options).split(",") if options else ():
        name = option.strip()
        kind = _KINDS.get(_ALSO.get(name, name))
        if kind is not None and not kind(found):
            return None
    return str(found)


def _picked(version: int | None) -> Callable[..., Any]:
    """A filter: the value when it is such an address, of a list those that are."""

    def pick(value: Any, options: str | None = None) -> Any:
        if isinstance(value, str | bytes):
            return one(value, version, options)
        if isinstance(value, list | tuple | Iterator):
            values = list(value)
            versions = (4, 6) if version is None else (version,)
            return [text for each in versions for item in values if (text := one(item, each, options)) is not None]
        return None

    return pick


def _is(version: int | None) -> Callable[..., bool]:
    return lambda value, options=None: one(value, version, options) is not None


def _of_networks(call: Callable[[str], Any]) -> Callable[..., Any]:
    """A filter that does `call` to a network, or to each of a list; None when there is none."""

    def apply(value: Any, options: str | None = None, version: int | None = None) -> Any:
        found = _picked(version)(value, options)
        if not found:
            return None
        return call(found) if isinstance(value, str) else [call(text) for text in found]

    return apply


def hosts(value: str) -> list[str]:
    """The hosts of a network. Raises ValueError when they are more than MOST_HOSTS."""
    network = ipaddress.ip_network(value, strict=False)
    if network.num_addresses > MOST_HOSTS:
        raise ValueError(f"{value} has more than {MOST_HOSTS} hosts")
    return [str(host) for host in network.hosts()]


def filter_by_networks(values: Any, networks: Any) -> Any:
    """The addresses (of a mapping: of each list in it) that lie in one of `networks`; all when it is None."""
    if networks is None:
        return values
    wanted = [ipaddress.ip_network(network) for network in networks]

    def kept(addresses: Any) -> list[Any]:
        return [text for text in addresses for network in wanted if ipaddress.ip_address(text) in network]

    if isinstance(values, Mapping):
        return {name: kept(addresses) for name, addresses in values.items()}
    return kept(values)


def ipwrap(value: Any) -> Any:
    """IPv6 addresses in brackets, all else as it is."""
    if isinstance(value, list | tuple):
        return [ipwrap(item) for item in value]
    return f"[{str(value).strip('[]')}]" if one(value, 6) else value


def mac_str_to_bytes(text: str) -> bytes:
    """The six bytes of a hardware address with or without separators. Raises ValueError."""
    digits = text.replace(text[2], "") if len(text) == 17 else text
    if len(digits) != 12:
        raise ValueError("Invalid MAC address")
    return bytes.fromhex(digits)


FILTERS: Final[Mapping[str, Callable[..., Any]]] = {
    "is_ip": _is(None),
    "is_ipv4": _is(4),
    "is_ipv6": _is(6),
    "ipaddr": _picked(None),
    "ipv4": _picked(4),
    "ipv6": _picked(6),
    "ip_host": _of_networks(lambda text: str(ipaddress.ip_interface(text))),
    "network_hosts": _of_networks(hosts),
    "network_size": _of_networks(lambda text: ipaddress.ip_network(text, strict=False).num_addresses),
    "filter_by_networks": filter_by_networks,
    "ipwrap": ipwrap,
    "mac_str_to_bytes": mac_str_to_bytes,
}
"""By the name that a template uses."""
