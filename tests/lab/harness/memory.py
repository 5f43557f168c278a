"""How much memory the processes of a host use, each page counted once: its proportional set size."""

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path


def pss(leader: int) -> int:
    """Bytes of all processes in the same process namespace as the given init."""
    return sum(_pss_of(pid) for pid in _inside(leader))


def pss_by_name(leader: int) -> dict[str, int]:
    """Bytes for each name of a process inside."""
    sums: dict[str, int] = {}
    for pid in _inside(leader):
        with suppress(OSError):
            name = Path(f"/proc/{pid}/comm").read_text().strip()
            sums[name] = sums.get(name, 0) + _pss_of(pid)
    return sums


def _inside(leader: int) -> Iterator[int]:
    space = Path(f"/proc/{leader}/ns/pid").readlink()
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if (folder / "ns/pid").readlink() == space:
                yield int(folder.name)


def _pss_of(pid: int) -> int:
    with suppress(OSError):
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    return 0
