"""How a command written by a person is run through a shell: where, as whom, with what, and what it came to."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from protocol.data import Data
from protocol.errors import ArgumentError, StateError
from protocol.secrets import Secret
from states.context import Context
from states.host import process
from states.host.accounts import account, find_user

_HIDDEN = 'command=$STACKMASTER_COMMAND; unset STACKMASTER_COMMAND; eval "$command"'
"""Runs a command that lies in the environment, which only its user can read, and not in the table of processes."""

_BACKGROUND = 'setsid "$0" -c "$1" </dev/null >/dev/null 2>&1 &'


@dataclass(frozen=True, slots=True)
class Shell:
    """Where, as whom and with what a command is run.

    shell         the shell, an absolute path
    cwd           the directory to run it in; the user's home when empty
    root          a directory that is its root (chroot)
    runas         the user to run it as
    env           further environment variables
    prepend_path  directories put before PATH
    umask         in octal
    timeout       seconds; None is the state's deadline
    """

    shell: str = "/bin/sh"
    cwd: str = ""
    root: str = ""
    runas: str = ""
    env: Mapping[str, str] = field(default_factory=dict)
    prepend_path: str = ""
    umask: str = "022"
    timeout: float | None = None


def environment(env: Data) -> dict[str, str]:
    """An `env` argument, a mapping or a list of mappings (or of `NAME=value`), as one mapping. Raises ArgumentError."""
    found: dict[str, str] = {}
    for part in env if isinstance(env, list | tuple) else [env]:
        if isinstance(part, str) and "=" in part:
            part = dict([part[:].split("=", 1)])
        if part is None:
            continue
        if not isinstance(part, Mapping):
            raise ArgumentError("env must be a mapping or a list of mappings", help="like `- env: {LANG: C}`")
        for key, value in part.items():
            if not key or "=" in key or "\0" in key:
                raise ArgumentError(f"{key!r} is no name of an environment variable")
            found[key] = "" if value is None or value is False else value if isinstance(value, str) else str(value)
    return found


def check(ctx: Context, options: Shell) -> None:
    """Look whether a command can be run so. Raises StateError (no user, no directory), ArgumentError (umask)."""
    _umask(options)
    if options.runas:
        account(ctx, options.runas)
    if options.cwd and not ctx.path(options.cwd).is_dir() and not ctx.assumed() and not options.root:
        raise StateError(f"there is no directory {options.cwd} to run it in", help="declare it with file.directory")


def run(ctx: Context, command: str, options: Shell, *, stdin: str | None = None, background: bool = False) -> Data:
    """Run `command` to its end (or only start it) and give `retcode`, `stdout` and `stderr`.

    Raises process.CommandTimeout, StateError.
    """
    completed = complete(ctx, command, options, stdin=stdin, background=background)
    return told(completed)


def complete(
    ctx: Context, command: str, options: Shell, *, stdin: str | None = None, background: bool = False
) -> process.Completed:
    """As `run`, and give all that is known of the command that ended."""
    shell = str(ctx.shell(options.shell)) if not options.root else options.shell
    env = _environment(ctx, options)
    if background:
        argv = [shell, "-c", _BACKGROUND, shell, _plain(command)]
    elif isinstance(command, Secret) or ctx.scrubber.text(command) != command:
        env["STACKMASTER_COMMAND"] = _plain(command)
        argv = [shell, "-c", _HIDDEN]
    else:
        argv = [shell, "-c", command]
    if options.root:
        argv = [process.require(ctx, "chroot"), "--", str(ctx.path(options.root)), *argv]
    return process.run(
        ctx,
        argv,
        stdin=stdin,
        env=env,
        cwd=_cwd(ctx, options),
        deadline=options.timeout,
        accept=None,
        account=account(ctx, options.runas) if options.runas else None,
        umask=_umask(options),
    )


def told(completed: process.Completed) -> dict[str, Data]:
    """What a command came to, as Salt tells it."""
    return {
        "retcode": completed.status,
        "stdout": completed.stdout.rstrip("\n"),
        "stderr": completed.stderr.rstrip("\n"),
    }


def succeeded(completed: process.Completed, success_retcodes: Sequence[Data] = ()) -> bool:
    """Whether its exit status is 0 or one of those named."""
    return completed.status == 0 or completed.status in {int(str(each)) for each in success_retcodes}


def _plain(command: str) -> str:
    return command[:]  # the text itself, also of a secret


def _environment(ctx: Context, options: Shell) -> dict[str, str]:
    env: dict[str, str] = {}
    user = find_user(ctx, options.runas) if options.runas else None
    if user is not None:
        env |= {"HOME": user.home, "USER": user.name, "LOGNAME": user.name, "SHELL": options.shell}
    env |= options.env
    if options.prepend_path:
        path = env.get("PATH") or os.environ.get("PATH") or process.DEFAULT_PATH
        env["PATH"] = f"{options.prepend_path}:{path}"
    return env


def _cwd(ctx: Context, options: Shell) -> Path | None:
    if options.cwd:
        return ctx.path(options.cwd) if not options.root else None
    user = find_user(ctx, options.runas or "root")
    home = ctx.path(user.home) if user is not None and user.home.startswith("/") else None
    return home if home is not None and home.is_dir() and not options.root else None


def _umask(options: Shell) -> int:
    try:
        bits = int(options.umask, 8)
    except ValueError:
        bits = -1
    if not 0 <= bits <= 0o777:
        raise ArgumentError(f"{options.umask!r} is not a umask", help="give it in octal, in quotes, like '022'")
    return bits
