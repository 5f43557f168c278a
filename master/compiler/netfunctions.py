"""Functions for templates about addresses: what grains tell of the minion's, and what arithmetic tells of any."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Mapping
from typing import Any

from master.compiler.watched import look


def network_functions(grains: Any) -> dict[str, Callable[..., Any]]:
    """The functions of the module `network` that need no look at the minion with these `grains`."""

    def addresses(version: int) -> Callable[..., list[str]]:
        def addrs(interface: Any = None, include_loopback: bool = False, cidr: Any = None, type: Any = None) -> Any:
            found = look(grains, f"ip{version}_interfaces", {})
            return _chosen(found, interface, include_loopback, cidr, type)

        return addrs

    def interface_ip(iface: str) -> str:
        """The first IPv4 address of an interface, or an empty text."""
        return next(iter(look(grains, "ip4_interfaces", {}).get(iface) or ()), "")

    def in_subnet(cidr: str, addr: Any = None) -> bool:
        """Whether an address (any of the minion's, without one) lies in the network."""
        given = [*addresses(4)(), *addresses(6)()] if addr is None else addr
        return any(_within(item, cidr) for item in (given if isinstance(given, list | tuple) else [given]))

    hardware = lambda iface: look(grains, "hwaddr_interfaces", {}).get(iface, "")  # noqa: E731
    return {
        "network.ip_addrs": addresses(4),
        "network.ipaddrs": addresses(4),
        "network.ip_addrs6": addresses(6),
        "network.ipaddrs6": addresses(6),
        "network.interface_ip": interface_ip,
        "network.hw_addr": hardware,
        "network.hwaddr": hardware,
        "network.get_hostname": lambda: look(grains, "nodename", look(grains, "host", "")),
        "network.get_fqdn": lambda: look(grains, "fqdn", ""),
        "network.in_subnet": in_subnet,
        **ARITHMETIC,
    }


def _chosen(found: Mapping[str, list[str]], interface: Any, loopback: bool, cidr: Any, kind: Any) -> list[str]:
    """The addresses of `interface` (name or glob; all without one), sorted, of the network and kind asked for."""
    texts = {text for name, ips in found.items() if interface is None or name == interface for text in ips}
    networks = [cidr] if isinstance(cidr, str) else list(cidr or ())
    kept = []
    for address in sorted(map(ipaddress.ip_address, texts)):
        if address.is_loopback and not loopback:
            continue
        if networks and not any(_within(str(address), network) for network in networks):
            continue
        if kind is None or (kind == "private") == address.is_private:
            kept.append(str(address))
    return kept


def _within(address: str, network: str) -> bool:
    return ipaddress.ip_address(address) in ipaddress.ip_network(network, strict=False)


def _converted(cidr: str) -> dict[str, str | None]:
    """The parts of a network: its address and its mask."""
    try:
        network = ipaddress.ip_network(cidr, strict=False)
    except ValueError:
        return {"network": None, "netmask": None}
    return {"network": str(network.network_address), "netmask": str(network.netmask)}


ARITHMETIC: Mapping[str, Callable[..., Any]] = {
    "network.calc_net": lambda ip, netmask=None: str(
        ipaddress.ip_network(f"{ip}/{netmask}" if netmask is not None else ip, strict=False)
    ),
    "network.ip_in_subnet": _within,
    "network.convert_cidr": _converted,
    "network.is_private": lambda ip: ipaddress.ip_address(ip).is_private,
    "network.is_loopback": lambda ip: ipaddress.ip_address(ip).is_loopback,
    "network.reverse_ip": lambda ip: ipaddress.ip_address(ip).reverse_pointer,
}
"""Functions of addresses alone."""
