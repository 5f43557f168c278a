"""Functions of Salt's `cmd`, `grains`, `pillar`, `config`, `pkg`, `service`, `cp` and `test`, with Salt's arguments."""

from __future__ import annotations

import shlex
import shutil
from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Final

from protocol.errors import StateError
from protocol.secrets import reveal
from states import registry
from states.custom import shimdata
from states.custom.applying import apply_state
from states.custom.exceptions import CommandExecutionError
from states.custom.tree import Tree
from states.host import shell
from states.host.process import Completed

_ABSENT: Final = object()

# --- cmd ----------------------------------------------------------------------------------------------------------


def _complete(
    tree: Tree,
    cmd: Any,
    cwd: str | None = None,
    stdin: str | None = None,
    runas: str | None = None,
    shell_path: str = "/bin/sh",
    python_shell: bool | None = None,
    env: Any = None,
    umask: Any = None,
    timeout: float | None = None,
    prepend_path: str | None = None,
    **options: Any,
) -> Completed:
    """Run `cmd`. As in Salt, a text is given to a shell only with `python_shell`; else it is split into words."""
    words = list(map(str, cmd)) if isinstance(cmd, list | tuple) else None
    if words is None:
        words = None if python_shell else shlex.split(str(cmd))
    line = str(cmd) if words is None else shlex.join(words)
    chosen = shell.Shell(
        str(options.get("shell") or shell_path), cwd or "", "", runas or "", shell.environment(env),
        prepend_path or "", str(umask or "022"), timeout,
    )  # fmt: skip
    shell.check(tree.context, chosen)
    completed = shell.complete(tree.context, line, chosen, stdin=stdin)
    if options.get("raise_err") and completed.status != 0:
        raise CommandExecutionError(f"{line}: exit status {completed.status}", info=shell.told(completed))
    return completed


def cmd_run_all(tree: Tree, cmd: Any, *args: Any, **kwargs: Any) -> dict[str, Any]:
    """retcode, stdout and stderr; Salt's `pid` is 0."""
    return {"pid": 0, **shell.told(_complete(tree, cmd, *args, **kwargs))}


def cmd_run(tree: Tree, cmd: Any, *args: Any, **kwargs: Any) -> str:
    """What the command writes, whatever its exit status."""
    return _complete(tree, cmd, *args, **kwargs).output.rstrip("\n")


def cmd_shell(tree: Tree, cmd: Any, *args: Any, **kwargs: Any) -> str:
    """As `cmd.run`, through a shell."""
    return cmd_run(tree, cmd, *args, **{**kwargs, "python_shell": True})


def cmd_stdout(tree: Tree, cmd: Any, *args: Any, **kwargs: Any) -> str:
    """What the command writes to its standard output."""
    return _complete(tree, cmd, *args, **kwargs).stdout.rstrip("\n")


def cmd_stderr(tree: Tree, cmd: Any, *args: Any, **kwargs: Any) -> str:
    """What the command writes to its standard error."""
    return _complete(tree, cmd, *args, **kwargs).stderr.rstrip("\n")


def cmd_retcode(tree: Tree, cmd: Any, *args: Any, **kwargs: Any) -> int:
    """The exit status of the command."""
    return _complete(tree, cmd, *args, **kwargs).status


def cmd_which(_tree: Tree, cmd: str) -> str | None:
    """Where the command is, None when it is not installed."""
    return shutil.which(cmd)


# --- grains, pillar, config ---------------------------------------------------------------------------------------


def _item(data: Mapping[str, Any], names: Sequence[str]) -> dict[str, Any]:
    return {name: shimdata.traverse_dict_and_list(data, name, "") for name in names}


def _grains(tree: Tree) -> Any:
    return reveal(tree.context.grains)


def grains_get(tree: Tree, key: str, default: Any = "", delimiter: str = ":", ordered: bool = True) -> Any:
    """The grain at the path `key`, else `default`."""
    return shimdata.traverse_dict_and_list(_grains(tree), key, default, delimiter)


def grains_filter_by(
    tree: Tree,
    lookup_dict: Mapping[str, Any],
    grain: str = "os_family",
    merge: Mapping[str, Any] | None = None,
    default: str = "default",
    base: str | None = None,
) -> Any:
    """The entry of `lookup_dict` whose key, a glob, fits the grain; on the entry `base`, and under `merge`."""
    value = shimdata.traverse_dict_and_list(_grains(tree), grain, "")
    values = [str(each) for each in (value if isinstance(value, list) else [value])]
    fitting = (key for each in values for key in lookup_dict if fnmatchcase(each, str(key)))
    found = deepcopy(lookup_dict.get(next(fitting, default)))
    if base and base in lookup_dict:
        found = shimdata.merge(lookup_dict[base], found or {})
    return shimdata.merge(found or {}, merge) if merge else found


def pillar_get(
    tree: Tree,
    key: str,
    default: Any = "",
    merge: bool = False,
    merge_nested_lists: bool | None = None,
    delimiter: str = ":",
    **_options: Any,
) -> Any:
    """What the pillar has at the path `key`, else `default`; with `merge`, merged onto it."""
    found = shimdata.traverse_dict_and_list(tree.pillar, key, _ABSENT, delimiter)
    if found is _ABSENT:
        return default
    if merge and isinstance(found, dict) and isinstance(default, Mapping):
        return shimdata.merge(default, found, merge_lists=bool(merge_nested_lists))
    return deepcopy(found)


def config_get(tree: Tree, key: str, default: Any = "", delimiter: str = ":", **_options: Any) -> Any:
    """What the options, else the grains, else the pillar have at the path `key`, else `default`."""
    for place in (tree.opts, _grains(tree), tree.pillar):
        found = shimdata.traverse_dict_and_list(place, key, _ABSENT, delimiter)
        if found is not _ABSENT:
            return found
    return default


# --- packages, services, files of the job -------------------------------------------------------------------------


def _packages(tree: Tree, state: str, name: Any, pkgs: Any, options: Mapping[str, Any]) -> dict[str, Any]:
    args = {key: value for key, value in options.items() if key in ("version", "refresh", "fromrepo") and value}
    wanted = pkgs or [each for each in str(name or "").split(",") if each]
    told = apply_state(tree, state, str(name or "packages"), {**args, "pkgs": wanted})
    if told["result"] is False:
        raise CommandExecutionError(told["comment"])
    changes = {key.removeprefix("package "): value for key, value in told["changes"].items()}
    return {key: {"old": value["old"] or "", "new": value["new"] or ""} for key, value in changes.items()}


def pkg_install(tree: Tree, name: Any = None, pkgs: Any = None, **options: Any) -> dict[str, Any]:
    """Install packages; `{name: {'old': …, 'new': …}}`. In a dry run: what would be."""
    return _packages(tree, "pkg.installed", name, pkgs, options)


def pkg_remove(tree: Tree, name: Any = None, pkgs: Any = None, **options: Any) -> dict[str, Any]:
    """Remove packages; `{name: {'old': …, 'new': …}}`. In a dry run: what would be."""
    return _packages(tree, "pkg.removed", name, pkgs, options)


def _service(verb: str) -> Callable[..., Any]:
    """A function of `service`, without the options of Salt's that concern its own ways."""

    def run(tree: Tree, name: str, *_args: Any, **_options: Any) -> Any:
        function = registry.find_function(f"service.{verb}")
        argument = next(iter(function.signature.parameters))
        return function.call(tree.context, **{argument: [name] if argument == "names" else name})

    return run


def service_missing(tree: Tree, name: str) -> bool:
    """Whether there is no such service."""
    return not registry.find_function("service.available").call(tree.context, name=name)


def cached(tree: Tree, path: str, *_args: Any, **_options: Any) -> str:
    """Where the content of a `salt://` file of the state at hand lies. Raises StateError when it was not sent along."""
    if not path.startswith("salt://"):
        return path
    if path not in tree.context.sources:
        help = "name it in an argument of the state, so that it is sent to the minion"
        raise StateError(f"{path} is not among the files of this state", help=help)
    return str(tree.context.source(path))


def cp_get_file(tree: Tree, path: str, dest: str, *_args: Any, makedirs: bool = False, **_options: Any) -> str:
    """Copy a `salt://` file of the state at hand to `dest`."""
    target = tree.context.path(dest)
    if makedirs:
        target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(cached(tree, path), target)
    return dest


def cp_get_file_str(tree: Tree, path: str, *_args: Any, **_options: Any) -> str:
    """The text of a `salt://` file of the state at hand."""
    return Path(cached(tree, path)).read_text("utf-8", "replace")


CALLS: Final[Mapping[str, Callable[..., Any]]] = {
    "cmd.run": cmd_run,
    "cmd.run_all": cmd_run_all,
    "cmd.run_stdout": cmd_stdout,
    "cmd.run_stderr": cmd_stderr,
    "cmd.retcode": cmd_retcode,
    "cmd.shell": cmd_shell,
    "cmd.which": cmd_which,
    "cmd.has_exec": lambda tree, cmd: cmd_which(tree, cmd) is not None,
    "cmd.which_bin": lambda tree, cmds: next((found for each in cmds if (found := cmd_which(tree, each))), None),
    "grains.get": grains_get,
    "grains.items": lambda tree, sanitize=False: dict(_grains(tree)),
    "grains.item": lambda tree, *names, **_options: _item(_grains(tree), names),
    "grains.has_value": lambda tree, key: bool(shimdata.traverse_dict_and_list(_grains(tree), key, None)),
    "grains.fetch": grains_get,
    "grains.filter_by": grains_filter_by,
    "pillar.get": pillar_get,
    "pillar.items": lambda tree, *_args, **_options: deepcopy(tree.pillar),
    "pillar.raw": lambda tree, key=None: deepcopy(tree.pillar if key is None else tree.pillar.get(key, {})),
    "pillar.item": lambda tree, *names, **_options: _item(tree.pillar, names),
    "pillar.keys": lambda tree, key, delimiter=":": list(
        shimdata.traverse_dict_and_list(tree.pillar, key, {}, delimiter)
    ),
    "config.get": config_get,
    "config.option": config_get,
    "pkg.install": pkg_install,
    "pkg.remove": pkg_remove,
    **{
        f"service.{verb}": _service(verb)
        for verb in (
            "status", "start", "stop", "restart", "reload", "enable", "disable", "enabled", "available",
        )
    },
    "service.disabled": lambda tree, name, **_options: not _service("enabled")(tree, name),
    "service.missing": service_missing,
    "cp.cache_file": cached,
    "cp.get_file": cp_get_file,
    "cp.get_file_str": cp_get_file_str,
    "cp.is_cached": lambda tree, path, *_args: cached(tree, path) if path in tree.context.sources else "",
    "test.ping": lambda _tree: True,
    "test.echo": lambda _tree, text: text,
}  # fmt: skip
"""Salt's names; each is called with the job's tree first."""
