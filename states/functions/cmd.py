"""Commands that the caller wrote, run through a shell on a minion."""

from __future__ import annotations

from protocol.data import Data
from protocol.errors import StateError
from states.context import Context
from states.host import shell
from states.host.process import Completed
from states.registry import function


@function("cmd.run_all", access="runs-code")
def run_all(
    ctx: Context,
    cmd: str,
    cwd: str = "",
    runas: str = "",
    env: Data = None,
    stdin: str | None = None,
    umask: str = "022",
    path: str = "/bin/sh",
    timeout: float | None = None,
) -> Data:
    """Run the command `cmd` through a shell: retcode, stdout, stderr. Raises StateError when it cannot be run.

    cwd: the directory to run it in; else the user's home
    runas: the user to run it as
    env: environment variables: a mapping, or a list of mappings
    stdin: what it reads on its standard input
    umask: in octal
    path: the shell
    timeout: seconds it may take, within what the job may
    """
    return shell.told(_complete(ctx, cmd, cwd, runas, env, stdin, umask, path, timeout))


@function("cmd.run", access="runs-code")
def run(
    ctx: Context,
    cmd: str,
    cwd: str = "",
    runas: str = "",
    env: Data = None,
    stdin: str | None = None,
    umask: str = "022",
    path: str = "/bin/sh",
    timeout: float | None = None,
    all_: bool = False,
    ignore_retcode: bool = False,
) -> Data:
    """Run the command `cmd` through a shell and give what it writes. Raises StateError when its exit status is not 0.

    all: give retcode, stdout and stderr instead, whatever the exit status
    ignore_retcode: give what it writes whatever the exit status
    cwd, runas, env, stdin, umask, path, timeout: as for cmd.run_all
    """
    completed = _complete(ctx, cmd, cwd, runas, env, stdin, umask, path, timeout)
    if all_:
        return shell.told(completed)
    output = completed.output.rstrip("\n")
    if completed.status != 0 and not ignore_retcode:
        raise StateError(f"exit status {completed.status}: {output[-2000:]}", help="call cmd.run_all to see all of it")
    return output


@function("cmd.retcode", access="runs-code")
def retcode(
    ctx: Context,
    cmd: str,
    cwd: str = "",
    runas: str = "",
    env: Data = None,
    stdin: str | None = None,
    umask: str = "022",
    path: str = "/bin/sh",
    timeout: float | None = None,
) -> Data:
    """Run the command `cmd` through a shell and give its exit status.

    cwd, runas, env, stdin, umask, path, timeout: as for cmd.run_all
    """
    return _complete(ctx, cmd, cwd, runas, env, stdin, umask, path, timeout).status


def _complete(
    ctx: Context,
    cmd: str,
    cwd: str,
    runas: str,
    env: Data,
    stdin: str | None,
    umask: str,
    path: str,
    timeout: float | None,
) -> Completed:
    options = shell.Shell(path, cwd, "", runas, shell.environment(env), "", umask, timeout)
    shell.check(ctx, options)
    return shell.complete(ctx, cmd, options, stdin=stdin)
