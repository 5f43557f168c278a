"""The tree of errors that a person or a peer can meet; each carries a stable code, the place, and what to do.

StackmasterError
├── InputError            what a person wrote is wrong (exit 2 on the command line)
│   ├── ConfigError       a configuration file
│   ├── SlsError          a state tree or pillar: YAML, Jinja, structure, requisites, arguments
│   ├── TargetError       a target expression that cannot be read
│   └── ArgumentError     an argument of a state or function
├── PeerError             what the other side sent is wrong (its fault, never ours)
│   ├── DecodeError       bytes that are no message, or too large, too deep, of a wrong type
│   ├── SignatureError    a signature, proof or address that does not hold
│   ├── VersionError      a wire version that we do not speak
│   └── RefusedCommand    a command truly of the master that must not be carried out (now)
├── IdentityError         a key or key file that is missing, unreadable or too open
├── RefusedError          understood, and not allowed or not safe (exit 7)
├── NoTargetError         the target matched nobody (exit 6)
├── UnreachableError      the master, a minion or a service does not answer (exit 1)
├── DeadlineError         it took longer than allowed; says what was waited for
├── ExpressionError       a condition cannot be decided on the data at hand
├── StateError            a state could not be looked at or made true on the host
└── StoreError            the database refused or is damaged
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True, slots=True)
class Where:
    """The place an error speaks of; whatever is known of it. `line` and `column` count from 1, 0 is unknown."""

    file: str = ""
    line: int = 0
    column: int = 0
    minion: str = ""
    step: str = ""

    def __str__(self) -> str:
        place = self.file
        if place and self.line:
            place += f":{self.line}" + (f":{self.column}" if self.column else "")
        parts = [place] if place else []
        if self.minion:
            parts.append(f"minion {self.minion}")
        if self.step:
            parts.append(f"step {self.step}")
        return ", ".join(parts)


class StackmasterError(Exception):
    """An error with a stable `code`, a `message`, the place (`where`) and what to do about it (`help`)."""

    code: ClassVar[str] = "internal"
    exit_code: ClassVar[int] = 1

    def __init__(self, message: str, *, where: Where | None = None, help: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.where = where or Where()
        self.help = help

    def __str__(self) -> str:
        place = str(self.where)
        return (f"{place}: " if place else "") + self.message + (f" ({self.help})" if self.help else "")


class InputError(StackmasterError):
    """What a person wrote is wrong."""

    code = "input"
    exit_code = 2


class ConfigError(InputError):
    """A configuration file holds an unknown key, a wrong type or an impossible value."""

    code = "config"


class SlsError(InputError):
    """A state tree or pillar cannot be compiled."""

    code = "sls"


class TargetError(InputError):
    """A target expression cannot be read."""

    code = "target.syntax"


class ArgumentError(InputError):
    """An argument of a state or function is unknown, missing or of a wrong type."""

    code = "argument"


class PeerError(StackmasterError):
    """What the other side sent is wrong."""

    code = "peer"


class DecodeError(PeerError):
    """Bytes that are no message of ours, or break a limit."""

    code = "peer.decode"


class SignatureError(PeerError):
    """A signature, a Merkle path, an address or a validity window that does not hold."""

    code = "peer.signature"


class VersionError(PeerError):
    """A wire version that we do not speak."""

    code = "peer.version"


class RefusedCommand(PeerError):
    """A command whose signature holds and that must not be carried out: its time, its version. `job` is its job."""

    code = "peer.command"

    def __init__(self, job: str, message: str, *, help: str = "") -> None:
        super().__init__(message, help=help)
        self.job = job


class IdentityError(StackmasterError):
    """A key is missing, unreadable, malformed or readable by others."""

    code = "identity"


class RefusedError(StackmasterError):
    """Understood, and not allowed or not safe."""

    code = "refused"
    exit_code = 7


class NoTargetError(StackmasterError):
    """The target matched nobody."""

    code = "target.empty"
    exit_code = 6


class UnreachableError(StackmasterError):
    """The master, a minion or a service does not answer."""

    code = "unreachable"


class DeadlineError(StackmasterError):
    """It took longer than allowed."""

    code = "deadline"


class ExpressionError(StackmasterError):
    """A condition cannot be decided on the data at hand; `path` is what is missing or of a wrong type, when known."""

    code = "expression"

    def __init__(self, message: str, *, path: str = "", where: Where | None = None, help: str = "") -> None:
        super().__init__(message, where=where, help=help)
        self.path = path


class StateError(StackmasterError):
    """A state could not be looked at or made true on the host."""

    code = "state"
    exit_code = 4


class StoreError(StackmasterError):
    """The database refused a write or is damaged."""

    code = "store"
