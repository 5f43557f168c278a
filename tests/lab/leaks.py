"""Looks for secrets where they must not be: everything that the product printed, stored or showed in a process list."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from types import TracebackType

from tests.lab.harness import Lab
from tests.lab.site import LabSite

_KEYS_ON_A_HOST = """
shopt -s nullglob
cat /etc/ceph/*.keyring /var/lib/ceph/*/keyring /var/lib/ceph/*/*/keyring /var/lib/ceph/*/*.keyring 2>/dev/null |
    sed -n 's/^[[:space:]]*key = //p' | sort -u
"""


def keys(lab: Lab) -> set[str]:
    """Every cephx key on any host."""
    found = lab.each(lambda host: host.shell(_KEYS_ON_A_HOST, check=False))
    return {line.strip() for text in found.values() for line in text.splitlines() if line.strip()}


class ProcessList:
    """Watches the command lines and environments of all processes of this machine, hosts included."""

    def __init__(self) -> None:
        self.seen: set[bytes] = set()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="process list")

    def __enter__(self) -> ProcessList:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._ended.wait(0.02):
            for folder in Path("/proc").glob("[0-9]*"):
                for name in ("cmdline", "environ"):
                    try:
                        self.seen.add((folder / name).read_bytes())
                    except OSError:
                        continue


def shown(site: LabSite, processes: ProcessList) -> Iterator[tuple[str, bytes]]:
    """Everything that could have let a secret out, with the name of the place."""
    yield "what the command line printed", "".join(site.said).encode()
    yield "the process list", b"\n".join(processes.seen)
    yield "the master's log", site.log().encode()
    for path in sorted((site.folder / "master").glob("*.db*")) + sorted((site.folder / "master").glob("*.sqlite*")):
        yield f"the master's {path.name}", path.read_bytes()
    yield (
        "the events",
        site.run("events", "tail", "*", "--since", "0", "--timeout", "3", "--output", "ndjson").stdout.encode(),
    )
    for host in site.lab:
        yield f"the journal of {host.name}", host.run(["journalctl", "--no-pager", "-o", "cat"]).stdout.encode()


def leaks(secrets: Iterable[str], places: Iterable[tuple[str, bytes]]) -> Mapping[str, list[str]]:
    """The places in which a secret stands, each with the first characters of what was found."""
    wanted = [secret for secret in secrets if secret]
    found: dict[str, list[str]] = {}
    for name, content in places:
        hits = [secret[:6] + "…" for secret in wanted if secret.encode() in content]
        if hits:
            found[name] = hits
    return found
