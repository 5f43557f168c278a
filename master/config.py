"""The master's settings: each key, its meaning and its default."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from master.compiler.treecheck import check_trees
from master.compiler.trees import TreeOptions
from master.driftrules import rule_of
from protocol import settings
from protocol.data import Data
from protocol.errors import ConfigError
from protocol.settings import Loaded

DEFAULT_FILE = Path("/etc/stackmaster/master.yaml")

ROLES = ("read", "operate", "admin")
"""What a user of the API may be, each one including those before it."""


@dataclass(frozen=True, slots=True)
class MasterSettings:
    """What `/etc/stackmaster/master.yaml` may say.

    interface          address to listen on
    enrol_port         door for strangers that want to be minions
    session_port       door for accepted minions
    addresses          names or addresses of this master that are printed into join tokens; empty: found out
    state_dir          database, identity and file contents (0700)
    socket             the API's Unix socket
    socket_group       group whose members may connect to it; empty: the master's own
    roles              user name (or `%group`) -> read, operate or admin; root and the master's own user are admin
    file_roots         environment -> folders with state trees, the first one that has a file wins
    pillar_roots       environment -> folders with pillar trees
    nodegroups         name -> target expression, or a list of ids or of the words of an expression
    secret_words       words of a key or argument that make its value a secret, instead of the usual ones
    custom_override    let the own code of a state tree replace states and functions of stackmaster
    strict_requisites  a reference that no state answers to refuses the compilation; otherwise that state alone fails
    strict_states      a state that is not known, or arguments that it does not take, refuse the compilation;
                       otherwise that state alone fails on the minion
    state_aggregate    install the packages of several states together, where they do not say `aggregate: false`
    formulas           let the formulas that come with stackmaster be used
    heartbeat          seconds between heartbeats of a minion; it is lost after three without one
    window             Reports that one minion may have unacknowledged
    bad_frames         unreadable messages after which a minion is cut off for a minute
    enrol_rate         enrolments and connections of strangers accepted a second, from one address
    enrol_total_rate   the same from all addresses together
    pending_keys       keys that may wait for a person's decision
    history_days       days that ended jobs, events and the audit are kept
    history_bytes      bytes of database above which the oldest history goes first
    render_functions   functions (names or globs) that templates may call though they do more than read: [cmd.run]
    allow_py_renderer  let SLS files be Python code, which runs in the compiling processes with the master's rights
    gpg_keyring        folder of the gpg keys that decrypt pillar files of the renderer gpg; empty: none
    compile_workers    processes that render states
    compile_timeout    seconds that compiling for one minion may take
    api_connections    connections to the API at once
    drift              {interval: 30m, target: '*', sls: [], jitter: 30m, timeout: 10m}: dry runs by the clock; off when
                       empty; see `DriftSettings`

    What top files and pillar sources may be told (top_file_merging_strategy and below) is in `TreeOptions`.
    """

    interface: str = "0.0.0.0"
    enrol_port: int = 4505
    session_port: int = 4506
    addresses: tuple[str, ...] = ()
    state_dir: Path = Path("/var/lib/stackmaster/master")
    socket: Path = Path("/run/stackmaster/master.sock")
    socket_group: str = ""
    roles: Mapping[str, str] = field(default_factory=dict)
    file_roots: Mapping[str, tuple[Path, ...]] = field(
        default_factory=lambda: {"base": (Path("/srv/stackmaster/states"),)}
    )
    pillar_roots: Mapping[str, tuple[Path, ...]] = field(
        default_factory=lambda: {"base": (Path("/srv/stackmaster/pillar"),)}
    )
    nodegroups: Mapping[str, Data] = field(default_factory=dict)
    secret_words: tuple[str, ...] = ()
    custom_override: bool = False
    strict_requisites: bool = True
    strict_states: bool = True
    state_aggregate: bool = False
    formulas: bool = True
    heartbeat: float = 5.0
    window: int = 64
    bad_frames: int = 20
    enrol_rate: float = 5.0
    enrol_total_rate: float = 200.0
    pending_keys: int = 1000
    history_days: float = 30.0
    history_bytes: int = 4 * 1024**3
    render_functions: tuple[str, ...] = ()
    allow_py_renderer: bool = False
    gpg_keyring: str = ""
    compile_workers: int = 2
    compile_timeout: float = 60.0
    api_connections: int = 100
    drift: Mapping[str, Data] = field(default_factory=dict)
    top_file_merging_strategy: str = "merge"
    default_top: str = "base"
    env_order: tuple[str, ...] = ()
    state_top_saltenv: str = ""
    pillarenv: str = ""
    pillarenv_from_saltenv: bool = False
    pillar_source_merging_strategy: str = "smart"
    pillar_merge_lists: bool = False
    pillar_includes_override_sls: bool = False
    strict_pillar_targets: bool = False
    ext_pillar: tuple[Data, ...] = ()
    ext_pillar_first: bool = False
    ext_pillar_python: tuple[str, ...] = ()


def load(path: Path | None, environment: Mapping[str, str]) -> Loaded[MasterSettings]:
    """The settings in `path` (None: defaults and environment only). Raises ConfigError."""
    loaded = settings.load(MasterSettings, path, environment)
    check(loaded.value)
    return loaded


def check(given: MasterSettings) -> None:
    """Refuse values that cannot work. Raises ConfigError naming the key."""
    for key in ("enrol_port", "session_port"):
        if not 0 < getattr(given, key) < 65536:
            raise ConfigError(f"{key!r} must be a port from 1 to 65535")
    if given.enrol_port == given.session_port:
        raise ConfigError("'enrol_port' and 'session_port' must differ")
    positive = ("heartbeat", "window", "bad_frames", "enrol_rate", "enrol_total_rate", "pending_keys")
    for key in (*positive, "history_days", "history_bytes", "compile_workers", "compile_timeout", "api_connections"):
        if not getattr(given, key) > 0:
            raise ConfigError(f"{key!r} must be more than 0")
    check_trees(TreeOptions.of(given))
    rule_of(given.drift)
    for user, role in given.roles.items():
        if role not in ROLES:
            raise ConfigError(f"'roles': {user!r} cannot be {role!r}", help=f"choose one of {', '.join(ROLES)}")


def token_addresses(given: MasterSettings) -> tuple[str, ...]:
    """Where minions are told to find this master: as set, or the addresses this host would be reached at."""
    found = given.addresses
    if not found and given.interface not in ("0.0.0.0", "::", "*"):
        found = (given.interface,)
    if not found:
        found = tuple(dict.fromkeys(filter(None, (_outward(socket.AF_INET), _outward(socket.AF_INET6)))))
    names = found or (socket.getfqdn(),)
    if given.enrol_port == MasterSettings().enrol_port:
        return names
    return tuple(name if _has_port(name) else _with_port(name, given.enrol_port) for name in names)


def _outward(family: int) -> str:
    """The address that this host would send from to the wide world; no packet is sent."""
    beyond = "192.0.2.1" if family == socket.AF_INET else "2001:db8::1"
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect((beyond, 9))
            address = str(probe.getsockname()[0])
        except OSError:
            return ""
    return "" if ipaddress.ip_address(address.partition("%")[0]).is_link_local else address


def _has_port(name: str) -> bool:
    host, colon, port = name.rpartition(":")
    return bool(colon) and port.isdigit() and (":" not in host or host.startswith("["))


def _with_port(name: str, port: int) -> str:
    return f"[{name}]:{port}" if ":" in name and not name.startswith("[") else f"{name}:{port}"
