"""What a minion can be told: its settings, and the enrolment that `join` leaves behind."""

from __future__ import annotations

import json
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from protocol.data import Data
from protocol.errors import ConfigError, IdentityError, InputError, Where
from protocol.identity import PublicIdentity, public_identity, write_private
from protocol.names import MinionId, minion_id

DEFAULT_FILE = Path("/etc/stackmaster/minion.yaml")
ENROL_PORT = 4505
SESSION_PORT = 4506


@dataclass(frozen=True)
class MinionSettings:
    """Settings of `minion.yaml`; every one can be given as `STACKMASTER_<NAME>`.

    id             the minion's id; default: what `join` was told, else the host name
    master         addresses of the master (host or host:port of the session door); default: those of the join token
    state_dir      identity, journal, blobs, backups (mode 0700)
    root           where the paths of states begin: another folder than `/` makes a private root
    grains         grains of the operator's own, laid over what is gathered
    parallel_calls how many function calls may run at once
    log_level      debug, info, warning or error
    failhard       the first failed state ends a job, unless it says `failhard: false` itself
    state_max_parallel       how many states with `parallel` may run at once
    global_state_conditions  `*`, a family or a state -> compound targets of which one must mean this host, or such
                   states are not called
    """

    id: str = ""
    master: tuple[str, ...] = ()
    state_dir: Path = Path("/var/lib/stackmaster/minion")
    root: Path = Path("/")
    grains: Mapping[str, Data] = field(default_factory=dict)
    parallel_calls: int = 8
    log_level: str = "info"
    failhard: bool = False
    state_max_parallel: int = 16
    global_state_conditions: Mapping[str, Data] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Raises ConfigError for a value that no minion can work with."""
        if not 1 <= self.parallel_calls <= 64:
            raise ConfigError(f"'parallel_calls' must be 1 to 64, not {self.parallel_calls}")
        for name in ("state_dir", "root"):
            if not getattr(self, name).is_absolute():
                raise ConfigError(f"{name!r} must be an absolute path, not {str(getattr(self, name))!r}")

    def minion_id(self) -> MinionId:
        """The configured id, or the host name in lower case. Raises InputError."""
        return minion_id(self.id or socket.gethostname().lower())


def conditions(given: Mapping[str, Data]) -> dict[str, list[str]]:
    """`global_state_conditions` with a list for each name. Raises ConfigError for what is neither text nor a list."""
    found: dict[str, list[str]] = {}
    for name, targets in given.items():
        listed = [targets] if isinstance(targets, str) else targets
        if not isinstance(listed, list | tuple) or not all(isinstance(each, str) for each in listed):
            raise ConfigError(f"'global_state_conditions': {name!r} must be a target or a list of targets")
        found[name] = [str(each) for each in listed]
    return found


@dataclass(frozen=True, slots=True)
class Enrolment:
    """What `join` learned and pinned: our id, the master's key, and where it listens (host:port, session door)."""

    id: MinionId
    master: PublicIdentity
    addresses: tuple[str, ...]


def save_enrolment(state_dir: Path, enrolment: Enrolment) -> None:
    """Keep `enrolment` in `state_dir`. Raises OSError."""
    text = json.dumps(
        {"id": enrolment.id, "master": enrolment.master.text(), "addresses": list(enrolment.addresses)}, indent=1
    )
    write_private(state_dir / "enrolment.json", text.encode("utf-8"))


def load_enrolment(state_dir: Path) -> Enrolment:
    """What `join` left in `state_dir`. Raises ConfigError when this host has not joined, or the file is damaged."""
    path = state_dir / "enrolment.json"
    try:
        raw = json.loads(path.read_text("utf-8"))
        return Enrolment(minion_id(raw["id"]), public_identity(raw["master"]), tuple(map(str, raw["addresses"])))
    except FileNotFoundError:
        raise ConfigError(
            "this host has not joined a master",
            where=Where(file=str(path)),
            help="on the master run `stackmaster keys token`, then here `stackminion join TOKEN`",
        ) from None
    except (OSError, ValueError, KeyError, TypeError, InputError, IdentityError) as error:
        raise ConfigError(
            f"the enrolment cannot be read: {error}", where=Where(file=str(path)), help="join again"
        ) from None
