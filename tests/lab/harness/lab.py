"""A lab: some hosts on a switch, for the length of a `with`.

with Lab(["mon1", "osd1"]) as lab:
    lab["osd1"].run(["ping", "-c1", "mon1"])
"""

import weakref
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

from tests.lab.harness import claim, layer, leftovers, product, repository, requirements, settings
from tests.lab.harness.disk import Disk
from tests.lab.harness.errors import LabError
from tests.lab.harness.host import Host
from tests.lab.harness.machine import Machine
from tests.lab.harness.network import Network

_Result = TypeVar("_Result")

OPEN: "weakref.WeakSet[Lab]" = weakref.WeakSet()
"""The labs that are up now: who reports a failed test looks here."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The disks of stopped hosts, as they were; can be restored in any lab with the same host names."""

    folder: Path
    hosts: tuple[str, ...]
    layer: str | None


class Lab:
    """Booted hosts with names and addresses, a switch that this machine can stand on, and their end."""

    def __init__(
        self,
        hosts: Sequence[str],
        *,
        layer: str | None = None,
        apt_source: bool = True,
        boot: bool = True,
        nspawn_args: Sequence[str] = (),
    ) -> None:
        """Hosts are bare unless a layer ("ceph", "gluster") gives them packages.

        apt_source=False leaves the hosts without any package source; the repository is at /repo all
        the same. boot=False makes the hosts but leaves them off.
        """
        self.layer = layer
        self._names = tuple(hosts)
        self._apt_source = apt_source
        self._boot = boot
        self._nspawn_args = tuple(nspawn_args)
        self._hosts: dict[str, Host] = {}
        self._claim: claim.Claim | None = None

    def __enter__(self) -> Self:
        requirements.ensure()
        leftovers.remove_abandoned()
        lowers = layer.lowers(self.layer)
        repo = repository.obtain()
        self._claim = claim.take(settings.cache() / "runs")
        try:
            self._make(self._claim, lowers, repo)
            OPEN.add(self)
            if self._boot:
                self.boot()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the hosts, all at once, and remove everything that was made."""
        if self._claim is None:
            return
        OPEN.discard(self)
        mine, self._claim = self._claim, None
        self.each(lambda host: host.machine.kill())
        leftovers.remove(mine.name, mine.folder)
        mine.release()

    # --- hosts

    def __getitem__(self, name: str) -> Host:
        return self._hosts[name]

    def __iter__(self) -> Iterator[Host]:
        return iter(self._hosts.values())

    def each(self, do: Callable[[Host], _Result], hosts: Iterable[str] | None = None) -> dict[str, _Result]:
        """Do something on all hosts, or on those named, at the same time; give back each one's result."""
        chosen = list(self) if hosts is None else [self[name] for name in hosts]
        if not chosen:
            return {}
        with ThreadPoolExecutor(max_workers=len(chosen)) as pool:
            results = pool.map(do, chosen)
            return {host.name: result for host, result in zip(chosen, results, strict=True)}

    def boot(self, hosts: Iterable[str] | None = None, timeout: float = 120) -> None:
        """Switch on hosts that are off, all at once, and wait until they are up."""
        chosen = [name for name in hosts or self._names if not self[name].running]
        self.each(lambda host: host.boot(timeout), chosen)

    def power_off(self, hosts: Iterable[str] | None = None, timeout: float = 120) -> None:
        """Shut down hosts that are on, all at once, in good order."""
        chosen = [name for name in hosts or self._names if self[name].running]
        self.each(lambda host: host.power_off(timeout), chosen)

    # --- the switch, where the master lives

    @property
    def address(self) -> str:
        """This machine's address in the lab's network; hosts also know it by the name `master`."""
        return f"{settings.NETWORK}.1"

    def switch_command(self, argv: Sequence[str]) -> list[str]:
        """A command line which runs a command on this machine, but in the lab's network."""
        return self._network.on_switch(argv)

    @property
    def folder(self) -> Path:
        """A folder of this run on this machine; removed at its end."""
        if self._claim is None:
            raise LabError("the lab is not up")
        return self._claim.folder

    # --- disks

    def snapshot(self, folder: Path | None = None) -> Snapshot:
        """Copy the disks of all hosts, which must be off. Without a folder, for this lab only."""
        self._demand_off()
        target = folder or self.folder / "snapshots" / str(len(list(self.folder.glob("snapshots/*"))))
        target.mkdir(parents=True, exist_ok=True)
        for host in self:
            host.disk.unmount()
            host.disk.save(target / host.name)
        return Snapshot(target, self._names, self.layer)

    def restore(self, snapshot: Snapshot) -> None:
        """Give all hosts, which must be off, the disks of a snapshot. Boot them when you like."""
        self._demand_off()
        if (snapshot.hosts, snapshot.layer) != (self._names, self.layer):
            raise LabError(f"{snapshot} was not made of hosts like {self._names}, layer {self.layer}")
        for host in self:
            host.disk.unmount()
            host.disk.load(snapshot.folder / host.name)

    def report(self) -> str:
        """What helps after a failed test, of all hosts."""
        return "\n\n".join(host.report() for host in self)

    def _demand_off(self) -> None:
        if on := [host.name for host in self if host.running]:
            raise LabError(f"these hosts must be off first: {', '.join(on)}")

    # --- making

    def _make(self, mine: claim.Claim, lowers: Sequence[Path], repo: Path) -> None:
        mine.folder.mkdir(parents=True)
        self._network = Network(mine.name, self._names)
        self._network.create()
        staged = mine.folder / "product"
        library = product.stage(staged)
        for name in self._names:
            self._hosts[name] = self._make_host(name, mine, lowers, (repo, library, staged))

    def _make_host(self, name: str, mine: claim.Claim, lowers: Sequence[Path], shared: tuple[Path, Path, Path]) -> Host:
        repo, library, staged = shared
        folder = mine.folder / "hosts" / name
        disk = Disk(folder, lowers)
        addresses = {"master": self.address, **self._network.addresses}

        def before_boot() -> None:
            if disk.mount():
                disk.give_identity(name, addresses, self._apt_source)
                for file, path in product.files(staged):
                    disk.install(file, path)
            if self._hosts[name].boots:
                self._network.renew(name)

        machine_name = self._network.namespace(name)
        argv = [
            *("systemd-nspawn", "--quiet", "--register=no", "--keep-unit", "--settings=no"),
            *(f"--directory={disk.root}", f"--machine={machine_name}", f"--hostname={name}"),
            f"--network-namespace-path=/run/netns/{machine_name}",
            *("--resolv-conf=off", "--timezone=off", "--link-journal=no", "--console=pipe"),
            *(f"--bind-ro={repo}:/repo", f"--bind-ro={library}:{product.HOME}"),
            *(*self._nspawn_args, "--boot"),
        ]
        console = folder / "console.log"
        folder.mkdir(parents=True)
        return Host(name, self._network, disk, Machine(machine_name, argv, console, before_boot), console)
