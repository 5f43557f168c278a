"""How packages are looked at and changed with apt and dpkg."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

from protocol.errors import StateError
from states.context import Context
from states.host import debversion, dpkg, process
from states.host.packages import Available, Choice, Database, Effect, EffectKind, Request

LOCK_WAIT: Final = 120.0
"""Seconds to wait for another apt or dpkg to end."""
LISTS: Final = "/var/lib/apt/lists"
_ENVIRONMENT: Final = {
    "DEBIAN_FRONTEND": "noninteractive",
    "APT_LISTCHANGES_FRONTEND": "none",
    "NEEDRESTART_SUSPEND": "1",
}
_OPTIONS: Final = (
    *("-o", f"DPkg::Lock::Timeout={LOCK_WAIT:.0f}"),
    *("-o", "Dpkg::Options::=--force-confdef"),
    *("-o", "Dpkg::Options::=--force-confold"),
    *("-o", "Dpkg::Use-Pty=0"),
)
_LOCKED: Final = re.compile(r"(?:Could not get lock|Unable to (?:lock|acquire)).*")
_EFFECT: Final = re.compile(r"^(Inst|Remv|Purg) (\S+)(?: \[([^\]]*)\])?(?: \((\S+) )?", re.MULTILINE)
_POLICY_NAME: Final = re.compile(r"^(\S+):$")
_POLICY_VERSION: Final = re.compile(r"^ (?:\*\*\*|   ) (\S+) -?\d+$")
_WARNING: Final = re.compile(r"^[WE]: .*$", re.MULTILINE)

_refreshed: set[Path] = set()
"""Roots whose lists this process fetched."""


def manager(ctx: Context) -> Apt:
    """The manager of the host's packages. Raises StateError when apt-get is not there."""
    help = "only hosts with apt are supported"
    return Apt(ctx, process.require(ctx, "apt-get", help=help))


class Apt:
    """apt-get and dpkg on one host; see states.host.packages.PackageManager for what each method is to do."""

    def __init__(self, ctx: Context, apt_get: str) -> None:
        self._ctx = ctx
        self._apt_get = apt_get

    def installed(self) -> Database:
        """What dpkg's status file says."""
        return dpkg.read(self._ctx)

    def available(self, names: Sequence[str], repo: str = "") -> Mapping[str, Available]:
        """`apt-cache policy`, one process for all names."""
        if not names:
            return {}
        options = ["-o", f"APT::Default-Release={repo}"] if repo else []
        argv = [process.require(self._ctx, "apt-cache"), "-q", *options, "policy", *names]
        return parse_policy(process.run(self._ctx, argv, env=_ENVIRONMENT).stdout)

    def lists_age(self) -> float:
        """Seconds since the last fetch that left a trace."""
        return max(0.0, time.time() - self._fetched())

    def lists_outdated(self) -> bool:
        """Whether a sources file was touched after the last fetch."""
        places = [self._ctx.path("/etc/apt/sources.list"), self._ctx.path("/etc/apt/sources.list.d")]
        places += [found for found in sorted(places[1].glob("*")) if found.suffix in (".list", ".sources")]
        newest = max((place.stat().st_mtime for place in places if place.exists()), default=0.0)
        return newest > self._fetched()

    def refresh(self, *, strict: bool = False) -> tuple[str, ...]:
        """`apt-get update`; waits for the lock of the lists, which apt itself does not."""
        mode = ("-o", "APT::Update::Error-Mode=any") if strict else ()
        done = self._run_locked([self._apt_get, "-q", *mode, "update"])
        self._ctx.state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._stamp().touch(mode=0o600)
        _refreshed.add(self._ctx.root)
        return tuple(self._ctx.scrubber.text(warning) for warning in _WARNING.findall(done.stderr))

    def refreshed(self) -> bool:
        """Whether this process fetched the lists of the sources as they are now."""
        return self._ctx.root in _refreshed and not self.lists_outdated()

    def simulate(self, request: Request) -> tuple[Effect, ...]:
        """`apt-get -s`: the same options, hence the same answer as the transaction's."""
        argv = [self._apt_get, "-s", *self._arguments(request)]
        done = process.run(self._ctx, argv, env=_ENVIRONMENT, accept=None)
        if done.status != 0:
            raise self._refused(done)
        return parse_simulation(done.stdout)

    def perform(self, request: Request) -> None:
        """The transaction."""
        self._run_locked([self._apt_get, *self._arguments(request)])

    def repair(self) -> None:
        """`dpkg --configure -a`."""
        argv = [process.require(self._ctx, "dpkg"), "--force-confdef", "--force-confold", "--configure", "-a"]
        self._run_locked(argv)

    def hold(self, names: Sequence[str], held: bool) -> None:
        """`apt-mark hold` or `unhold`."""
        self._run_locked([process.require(self._ctx, "apt-mark"), "hold" if held else "unhold", *names])

    def file_version(self, path: str) -> tuple[str, str]:
        """`dpkg-deb --field`."""
        argv = [process.require(self._ctx, "dpkg-deb"), "--field", path, "Package", "Version"]
        fields = dict(line.split(": ", 1) for line in process.run(self._ctx, argv).stdout.splitlines() if ": " in line)
        if "Package" not in fields or "Version" not in fields:
            raise StateError(f"{path} is not a Debian package")
        return fields["Package"], fields["Version"]

    def known_names(self) -> list[str]:
        """`apt-cache pkgnames`."""
        return process.run(self._ctx, [process.require(self._ctx, "apt-cache"), "pkgnames"]).stdout.split()

    def compare(self, left: str, right: str) -> int:
        """As deb-version(7) orders them."""
        return debversion.compare(left, right)

    def _arguments(self, request: Request) -> list[str]:
        return ["-q", "-y", *_OPTIONS, *_choice_options(request.choice), request.verb, *request.items]

    def _run_locked(self, argv: list[str]) -> process.Completed:
        """Run `argv`, again and again while another process holds a lock, for LOCK_WAIT seconds at most."""
        until = time.monotonic() + min(LOCK_WAIT, self._ctx.deadline)
        for pause in _pauses():
            done = process.run(self._ctx, argv, env=_ENVIRONMENT, accept=None)
            if done.status == 0:
                return done
            locked = _LOCKED.search(done.stderr)
            if locked is None or time.monotonic() + pause > until:
                break
            time.sleep(pause)
        help = "another package manager is at work; try again when it has ended" if locked else ""
        raise process.failure(self._ctx, done, what=f"{Path(argv[0]).name} {_verb(argv)}", help=help)

    def _refused(self, done: process.Completed) -> StateError:
        lines = [line for line in done.output.splitlines() if line.strip() and not line.startswith("Reading ")]
        help = "`apt --fix-broken install` on the host" if "--fix-broken" in done.output else ""
        return StateError(self._ctx.scrubber.text("apt-get refuses:\n" + "\n".join(lines[-25:])), help=help)

    def _stamp(self) -> Path:
        return self._ctx.state_dir / "apt-lists-fetched"

    def _fetched(self) -> float:
        """When the lists were last fetched, by us or by others (epoch seconds); 0 when there are none."""
        lists = self._ctx.path(LISTS)
        if not any(lists.glob("*_*")):
            return 0.0
        traces = (lists, lists / "partial", self._ctx.path("/var/lib/apt/periodic/update-success-stamp"), self._stamp())
        return max(trace.stat().st_mtime for trace in traces if trace.exists())


def parse_policy(text: str) -> dict[str, Available]:
    """What `apt-cache policy` printed."""
    found: dict[str, Available] = {}
    name, candidate, versions = "", None, list[str]()
    for line in [*text.splitlines(), ":"]:
        header = _POLICY_NAME.match(line)
        version = _POLICY_VERSION.match(line)
        if header or line == ":":
            if name:
                found[name] = Available(name, candidate, tuple(versions))
            name, candidate, versions = header.group(1) if header else "", None, []
        elif line.startswith("  Candidate: "):
            told = line.removeprefix("  Candidate: ").strip()
            candidate = None if told == "(none)" else told
        elif version:
            versions.append(version.group(1))
    return found


def parse_simulation(text: str) -> tuple[Effect, ...]:
    """What `apt-get -s` said it would do; what is only configured is no effect of its own."""
    effects = []
    for verb, name, old, new in _EFFECT.findall(text):
        kind: EffectKind
        if verb == "Inst":
            if not old:
                kind = "install"
            else:
                order = debversion.compare(old, new)
                kind = "upgrade" if order < 0 else "downgrade" if order > 0 else "reinstall"
        else:
            kind = "purge" if verb == "Purg" else "remove"
        effects.append(Effect(kind, name, old or None, new or None))
    return tuple(effects)


def _choice_options(choice: Choice) -> Iterator[str]:
    if choice.repo:
        yield from ("-o", f"APT::Default-Release={choice.repo}")
    if choice.recommends is not None:
        yield from ("-o", f"APT::Install-Recommends={'true' if choice.recommends else 'false'}")
    if choice.unauthenticated:
        yield "--allow-unauthenticated"
    if choice.downgrades:
        yield "--allow-downgrades"
    if choice.change_held:
        yield "--allow-change-held-packages"
    if choice.only_upgrade:
        yield "--only-upgrade"


def _pauses() -> Iterator[float]:
    pause = 0.5
    while True:
        yield pause
        pause = min(pause * 1.5, 5.0)


def _verb(argv: Sequence[str]) -> str:
    plain = [part for part, before in zip(argv[1:], argv[0:], strict=False) if part[0] != "-" and before != "-o"]
    return " ".join(plain)[:200]
