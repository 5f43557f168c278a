"""Commands and scripts run through a shell: the family `cmd`, the only one that uses one."""

from __future__ import annotations

import functools
import json
import shlex
import shutil
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from protocol.data import Data
from protocol.errors import ArgumentError, StateError, Where
from protocol.results import Change
from states.context import Context
from states.contract import Action, DeedError, NoDifferenceError, Plan
from states.host import process, shell
from states.host.accounts import account
from states.host.files import copy_atomic, failure
from states.registry import state


def run(
    ctx: Context,
    name: str,
    *,
    cwd: str = "",
    root: str = "",
    runas: str = "",
    env: Data = None,
    prepend_path: str = "",
    umask: str = "022",
    shell: str = "/bin/sh",
    stdin: str | None = None,
    stateful: bool | list[Data] | dict[str, Data] = False,
    success_retcodes: list[int] | None = None,
    hide_output: bool = False,
    ignore_timeout: bool = False,
    bg: bool = False,
    output_loglevel: str | None = None,
    use_vt: bool = False,
) -> Plan:
    """Run the command `name` through a shell. It runs each time: keep it from that with unless, onlyif or creates.

    cwd: the directory to run it in; else the user's home
    root: a directory that is its root directory (chroot)
    runas: the user to run it as, with all his groups
    env: environment variables: a mapping, or a list of mappings
    prepend_path: directories put before PATH
    umask: in octal, "022"
    shell: the shell to use
    stdin: what it reads on its standard input
    stateful: the last line of its output tells whether something changed: `changed=yes comment='…'`, or JSON with
        `changed` and `comment`; as `{test_name: command}`, that command is asked in a dry run
    success_retcodes: exit statuses that are success, besides 0
    hide_output: do not report what it writes
    ignore_timeout: it is no failure when it takes longer than `timeout` and is ended
    bg: only start it; what becomes of it is not known
    output_loglevel, use_vt: taken for compatibility, without effect
    """
    options = _options(cwd, root, runas, env, prepend_path, umask, shell)

    def deed() -> process.Completed:
        return _complete(ctx, name, options, stdin=stdin, background=bg)

    return _plan(ctx, name, options, deed, stateful, success_retcodes, hide_output, ignore_timeout)


def script(
    ctx: Context,
    name: str,
    *,
    source: str | None = None,
    args: str = "",
    cwd: str = "",
    runas: str = "",
    env: Data = None,
    prepend_path: str = "",
    umask: str = "022",
    shell: str = "/bin/sh",
    stdin: str | None = None,
    stateful: bool | list[Data] | dict[str, Data] = False,
    success_retcodes: list[int] | None = None,
    hide_output: bool = False,
    ignore_timeout: bool = False,
    tmp_dir: str = "/tmp",
    template: str | None = None,
    context: Data = None,
    defaults: Data = None,
    output_loglevel: str | None = None,
    use_vt: bool = False,
) -> Plan:
    """Run a script from the state tree. It runs each time: keep it from that with unless, onlyif or creates.

    source: the script, `salt://…`; when it is not given, the first word of `name`
    args: its arguments, as written for a shell; when not given, what follows the first word of `name`
    tmp_dir: the directory it is put in, which must not be mounted with noexec
    cwd, runas, env, prepend_path, umask, shell, stdin, stateful, success_retcodes, hide_output, ignore_timeout: as
        for cmd.run
    template, context, defaults: how the master renders the script
    output_loglevel, use_vt: taken for compatibility, without effect
    """
    first, _, rest = name.partition(" ")
    origin, words = source or first, args or rest
    content = ctx.source(origin) if origin.startswith("salt://") else ctx.path(origin)
    if not content.is_file() and not ctx.assumed():
        raise StateError(f"there is no script {origin}", where=Where(name), help="correct `source`")
    options = _options(cwd, "", runas, env, prepend_path, umask, shell)

    def deed() -> process.Completed:
        return _script(ctx, content, words, options, tmp_dir, stdin)

    return _plan(ctx, name, options, deed, stateful, success_retcodes, hide_output, ignore_timeout)


def _waits(run_it: Callable[..., Plan]) -> Callable[..., Plan]:
    """A state with the arguments of `run_it` that does nothing by itself."""

    @functools.wraps(run_it)
    def wait(_ctx: Context, _name: str, **_arguments: Any) -> Plan:
        return Plan(comment="Nothing to run: nothing that it watches changed")

    arguments = (run_it.__doc__ or "").partition("\n\n")[2]
    wait.__doc__ = f"Do what `cmd.{run_it.__name__}` does, only when a watched state changed.\n\n{arguments}"
    return wait


state("cmd.run", watch=run)(run)
state("cmd.script", watch=script)(script)
for _name in ("cmd.wait", "cmd.watch"):
    state(_name, watch=run)(_waits(run))
state("cmd.wait_script", watch=script)(_waits(script))


def _options(cwd: str, root: str, runas: str, env: Data, prepend_path: str, umask: str, path: str) -> shell.Shell:
    return shell.Shell(path, cwd, root, runas, shell.environment(env), prepend_path, umask)


def _complete(
    ctx: Context, command: str, options: shell.Shell, *, stdin: str | None, background: bool = False
) -> process.Completed:
    return shell.complete(ctx, command, options, stdin=stdin, background=background)


def _plan(
    ctx: Context,
    name: str,
    options: shell.Shell,
    deed: Callable[[], process.Completed],
    stateful: bool | list[Data] | dict[str, Data],
    success_retcodes: list[int] | None,
    hide_output: bool,
    ignore_timeout: bool,
) -> Plan:
    """The plan that runs a command once and judges what it came to."""
    shell.check(ctx, options)
    successes = success_retcodes or []
    test_name = _test_name(stateful)
    if ctx.test and test_name:
        changed, comment = _verdict(name, _complete(ctx, test_name, options, stdin=None))
        if not changed:
            return Plan(comment=comment)

    def perform() -> Data:
        try:
            completed = deed()
        except process.CommandTimeout as error:
            details = _details(error.completed, hide_output)
            if ignore_timeout:
                return details
            raise DeedError(error.message, details, help=error.help) from error
        details = _details(completed, hide_output)
        if not shell.succeeded(completed, successes):
            what = f'Command "{name}" run' if not hide_output else "The command was run"
            raise DeedError(f"{what}; its exit status is {completed.status}", details)
        if stateful:
            changed, comment = _verdict(name, completed)
            if not changed:
                raise NoDifferenceError(comment)
        return details

    action = Action(Change("run", name), perform)
    return Plan([action], f'Command "{name}" run', foretold=f'Command "{name}" would have been executed')


def _details(completed: process.Completed, hide_output: bool) -> Data:
    details = shell.told(completed)
    return {"retcode": completed.status} if hide_output else details


def _script(
    ctx: Context, content: Path, words: str, options: shell.Shell, tmp_dir: str, stdin: str | None
) -> process.Completed:
    """Run a copy of `content` that only the user can read and nobody else could have put there."""
    user = account(ctx, options.runas) if options.runas else None
    uid, gid = (-1, -1) if user is None else (user.uid or 0, user.gid or 0)
    try:
        folder = Path(tempfile.mkdtemp(prefix="stackmaster.", dir=ctx.path(tmp_dir)))
    except OSError as error:
        raise failure(ctx.path(tmp_dir), error, "put a script there") from error
    try:
        copy = folder / "script"
        copy_atomic(copy, content, mode=0o500, uid=uid, gid=gid)
        shutil.chown(folder, uid, gid)
        command = f"{shlex.quote(str(copy))} {words}".rstrip()
        return _complete(ctx, command, options, stdin=stdin)
    finally:
        shutil.rmtree(folder)


def _test_name(stateful: bool | list[Data] | dict[str, Data]) -> str:
    """The command that a dry run asks: `stateful: {test_name: command}`, or that in a list (Salt takes both)."""
    parts = stateful if isinstance(stateful, list | tuple) else [stateful]
    for part in parts:
        if isinstance(part, Mapping) and "test_name" in part:
            return str(part["test_name"])
    return ""


def _verdict(name: str, completed: process.Completed) -> tuple[bool, str]:
    """What a stateful command says in its last line. Raises ArgumentError when it says nothing."""
    lines = [line for line in completed.stdout.splitlines() if line.strip()]
    last = lines[-1].strip() if lines else ""
    try:
        said = json.loads(last)
    except ValueError:
        said = _words(last)
    if not isinstance(said, Mapping) or "changed" not in said:
        raise ArgumentError(
            f"the last line of a stateful command must tell what changed, not {last[:80]!r}",
            where=Where(name),
            help="end with: echo \"changed=yes comment='what was done'\"",
        )
    changed = str(said["changed"]).lower() in ("yes", "true", "1")
    return changed, str(said.get("comment", ""))


def _words(line: str) -> dict[str, str]:
    try:
        return dict(word.split("=", 1) for word in shlex.split(line) if "=" in word)
    except ValueError:
        return {}
