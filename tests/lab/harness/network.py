"""The lab's network: a switch in a namespace of its own, and a namespace for each host plugged into it.

Nothing is added to this machine's own network. A host's namespace is held by name, so its wire can be
cut and mended whether the host is running or not.
"""

from collections.abc import Sequence

from tests.lab.harness import settings
from tests.lab.harness.command import run
from tests.lab.harness.errors import LabError

_BRIDGE = "lan0"
_FIRST_HOST = 11


class Network:
    """One run's switch and the hosts plugged into it."""

    def __init__(self, run_name: str, hosts: Sequence[str]) -> None:
        if len(set(hosts)) != len(hosts) or len(hosts) > 240:
            raise LabError(f"host names must differ, and be 240 at most: {hosts}")
        self.name = run_name
        self.address = f"{settings.NETWORK}.1"
        self.addresses = {host: f"{settings.NETWORK}.{_FIRST_HOST + at}" for at, host in enumerate(hosts)}
        self._ports = {host: f"port{at}" for at, host in enumerate(hosts)}
        self._cut: set[str] = set()

    def create(self) -> None:
        """Make the switch and plug all hosts in."""
        run(["ip", "netns", "add", self.name])
        self._on_switch(
            "link set lo up",
            f"link add {_BRIDGE} type bridge",
            f"link set {_BRIDGE} up",
            f"addr add {self.address}/24 dev {_BRIDGE}",
        )
        for host in self.addresses:
            self._plug(host)

    def namespace(self, host: str) -> str:
        """The name of a host's network namespace."""
        return f"{self.name}-{host}"

    def on_switch(self, argv: Sequence[str]) -> list[str]:
        """A command line which runs a command with the switch's own address."""
        return ["nsenter", f"--net=/run/netns/{self.name}", "--", *argv]

    def renew(self, host: str) -> None:
        """Give a host that is off a new network card: what it had configured is gone, as after power loss."""
        self._on_switch(f"link del {self._ports[host]}")
        run(["ip", "netns", "del", self.namespace(host)])
        self._plug(host)

    def cut(self, host: str) -> None:
        """Pull a host's cable."""
        self._cut.add(host)
        self._on_switch(f"link set {self._ports[host]} down")

    def mend(self, host: str) -> None:
        """Plug a host's cable in again."""
        self._cut.discard(host)
        self._on_switch(f"link set {self._ports[host]} up")

    def silence(self, host: str) -> None:
        """Let a host fall silent at once, without its kernel refusing anything any more."""
        self._on_switch(f"link set {self._ports[host]} down")

    def _plug(self, host: str) -> None:
        space, port = self.namespace(host), self._ports[host]
        number = int(self.addresses[host].rpartition(".")[2])
        card = f"02:00:00:00:00:{number:02x}"  # lasting: neighbours remember it
        run(["ip", "netns", "add", space])
        self._on_switch(
            f"link add {port} type veth peer name eth0 address {card} netns {space}",
            f"link set {port} master {_BRIDGE} {'down' if host in self._cut else 'up'}",
        )
        _batch(
            space,
            "link set lo up",
            f"addr add {self.addresses[host]}/24 dev eth0",
            "link set eth0 up",
            f"route add default via {self.address}",
        )

    def _on_switch(self, *lines: str) -> None:
        _batch(self.name, *lines)


def _batch(space: str, *lines: str) -> None:
    run(["ip", "-n", space, "-batch", "-"], stdin="\n".join(lines) + "\n")
