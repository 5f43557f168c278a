"""Functions of Salt's `file` module with Salt's arguments and results; paths lie below the root of the minion."""

from __future__ import annotations

import os
import posixpath
import re
import shutil
import stat
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from protocol.errors import StateError
from states import registry
from states.custom.exceptions import CommandExecutionError, SaltInvocationError
from states.custom.tree import Tree
from states.host import accounts


def _real(tree: Tree, path: str) -> Path:
    return tree.context.path(os.path.expanduser(str(path)))  # noqa: PTH111 - Salt's paths may begin with ~


def _own(name: str) -> Callable[..., Any]:
    """The function of ours, called with the path only."""
    return lambda tree, path, **options: registry.find_function(name).call(tree.context, path=path, **options)


def read(tree: Tree, path: str, binary: bool = False) -> Any:
    """The content of a file."""
    return registry.find_function("file.read").call(tree.context, path=path, binary=binary)


def write(tree: Tree, path: str, *args: Any, **kwargs: Any) -> str:
    """Write lines to a file, new or instead of what it has."""
    lines = _lines(args, kwargs)
    _real(tree, path).write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return f'Wrote {len(lines)} lines to "{path}"'


def append(tree: Tree, path: str, *args: Any, **kwargs: Any) -> str:
    """Add lines to the end of a file."""
    lines = _lines(args, kwargs)
    with _real(tree, path).open("a+", encoding="utf-8") as file:
        if file.tell():
            file.seek(file.tell() - 1)
            if file.read(1) != "\n":
                file.write("\n")
        file.writelines(f"{line}\n" for line in lines)
    return f'Wrote {len(lines)} lines to "{path}"'


def _lines(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> list[str]:
    given = kwargs.get("args", args)
    items = given if isinstance(given, list | tuple) else [given]
    return [str(line) for item in items for line in (item if isinstance(item, list | tuple) else [item])]


def remove(tree: Tree, path: str, **_options: Any) -> bool:
    """Remove a file, link or folder with all that is in it; False when there is none."""
    real = _real(tree, path)
    if real == tree.context.root:
        raise SaltInvocationError("the root is not removed")
    if not os.path.lexists(real):
        return False
    if real.is_dir() and not real.is_symlink():
        shutil.rmtree(real)
    else:
        real.unlink()
    return True


def touch(tree: Tree, name: str, *_args: Any, **_options: Any) -> bool:
    """Create an empty file, or set its times to now."""
    _real(tree, name).touch()
    return True


def mkdir(tree: Tree, dir_path: str, user: Any = None, group: Any = None, mode: Any = None) -> bool:
    """Make a folder with those above it; `mode` in octal."""
    real = _real(tree, dir_path)
    if not real.is_dir():
        real.mkdir(parents=True)
        _own_by(tree, dir_path, user, group)
        if mode:
            set_mode(tree, dir_path, mode)
    return True


def makedirs(tree: Tree, path: str, user: Any = None, group: Any = None, mode: Any = None) -> None:
    """Make the folder that `path` lies in (all of it when it ends with a slash)."""
    mkdir(tree, posixpath.dirname(path), user, group, mode)


def copy(tree: Tree, src: str, dst: str, recurse: bool = False, remove_existing: bool = False) -> bool:
    """Copy a file, with `recurse` a folder, with its mode and times."""
    source, target = _real(tree, src), _real(tree, dst)
    if source.is_dir():
        if not recurse:
            raise SaltInvocationError("a folder is copied with recurse=True only")
        if remove_existing and target.exists():
            shutil.rmtree(target)
        shutil.copytree(source, target, symlinks=True, dirs_exist_ok=True)
    else:
        shutil.copy2(source, target)
    return True


def rename(tree: Tree, src: str, dst: str) -> bool:
    """Give a file another name."""
    shutil.move(_real(tree, src), _real(tree, dst))
    return True


def move(tree: Tree, src: str, dst: str) -> dict[str, Any]:
    """Move a file."""
    return {"result": rename(tree, src, dst), "comment": f"'{src}' moved to '{dst}'"}


def symlink(tree: Tree, src: str, path: str, force: bool = False, **_options: Any) -> bool:
    """Make `path` a link to `src`; with `force`, instead of a link or file that is there."""
    real = _real(tree, path)
    if real.is_symlink() and str(real.readlink()) == src:
        return True
    if os.path.lexists(real) and force:
        real.unlink()
    real.symlink_to(src)
    return True


def readlink(tree: Tree, path: str, canonicalize: bool = False) -> str:
    """What a link leads to."""
    real = _real(tree, path)
    if not real.is_symlink():
        raise SaltInvocationError(f"A valid link was not specified: {path}")
    return str(real.resolve() if canonicalize else real.readlink())


def set_mode(tree: Tree, path: str, mode: Any, *_args: Any) -> str:
    """Set the mode of a file, in octal; gives it."""
    try:
        _real(tree, path).chmod(int(str(mode).removeprefix("0o"), 8))
    except ValueError:
        raise SaltInvocationError(f"{mode!r} is no mode") from None
    return get_mode(tree, path)


def get_mode(tree: Tree, path: str, follow_symlinks: bool = True) -> str:
    """The mode of a file, four octal digits; empty when it is not there."""
    real = _real(tree, path)
    if not os.path.lexists(real):
        return ""
    return f"{stat.S_IMODE((real.stat() if follow_symlinks else real.lstat()).st_mode):04o}"


def chown(tree: Tree, path: str, user: Any, group: Any, *_args: Any) -> None:
    """Give a file to a user and a group; what is empty stays."""
    _own_by(tree, path, user, group)


def _own_by(tree: Tree, path: str, user: Any, group: Any) -> None:
    owner = found.uid if user and (found := accounts.find_user(tree.context, str(user))) else -1
    groups = accounts.groups(tree.context.root)
    if user and owner == -1:
        raise CommandExecutionError(f"User {user} does not exist")
    if group and str(group) not in groups:
        raise CommandExecutionError(f"Group {group} does not exist")
    os.chown(_real(tree, path), owner, groups[str(group)].gid if group else -1)


def contains(tree: Tree, path: str, text: str) -> bool:
    """Whether a line of the file has `text` in it."""
    real = _real(tree, path)
    return real.is_file() and str(text).strip() in real.read_text("utf-8", "replace")


def search(tree: Tree, path: str, pattern: str, flags: int = 0, ignore_if_missing: bool = False, **_o: Any) -> bool:
    """Whether the regular expression is found in the file."""
    real = _real(tree, path)
    if not real.is_file():
        if ignore_if_missing:
            return False
        raise SaltInvocationError(f"{path} is no regular file")
    return re.search(pattern, real.read_text("utf-8", "replace"), int(flags) | re.MULTILINE) is not None


def stats(tree: Tree, path: str, *_args: Any, follow_symlinks: bool = True, **_options: Any) -> dict[str, Any]:
    """Salt's keys of what a file is; empty when it is not there."""
    if not os.path.lexists(_real(tree, path)):
        return {}
    try:
        told = registry.find_function("file.stat").call(tree.context, path=path, follow_symlinks=follow_symlinks)
    except StateError as error:
        raise CommandExecutionError(str(error)) from error
    assert isinstance(told, Mapping)
    mode = f"{int(str(told['mode']), 8):04o}"
    return {**told, "target": told.get("target", path), "mode": mode}


def readdir(tree: Tree, path: str) -> list[str]:
    """The names in a folder, `.` and `..` first."""
    return [".", "..", *(entry.name for entry in _real(tree, path).iterdir())]


CALLS: Final[Mapping[str, Callable[..., Any]]] = {
    "file.file_exists": _own("file.file_exists"),
    "file.directory_exists": _own("file.directory_exists"),
    "file.path_exists_glob": lambda tree, path: any(tree.context.root.glob(str(path).lstrip("/"))),
    "file.read": read,
    "file.write": write,
    "file.append": append,
    "file.remove": remove,
    "file.delete": remove,
    "file.touch": touch,
    "file.mkdir": mkdir,
    "file.makedirs": makedirs,
    "file.copy": copy,
    "file.rename": rename,
    "file.move": move,
    "file.symlink": symlink,
    "file.is_link": lambda tree, path: _real(tree, path).is_symlink(),
    "file.readlink": readlink,
    "file.set_mode": set_mode,
    "file.get_mode": get_mode,
    "file.chown": chown,
    "file.get_user": lambda tree, path, **_options: stats(tree, path).get("user", ""),
    "file.get_group": lambda tree, path, **_options: stats(tree, path).get("group", ""),
    "file.get_uid": lambda tree, path, **_options: stats(tree, path).get("uid", -1),
    "file.get_gid": lambda tree, path, **_options: stats(tree, path).get("gid", -1),
    "file.stats": stats,
    "file.contains": contains,
    "file.search": search,
    "file.readdir": readdir,
    "file.basename": lambda _tree, path: posixpath.basename(path),
    "file.dirname": lambda _tree, path: posixpath.dirname(path),
    "file.join": lambda _tree, *parts: posixpath.join(*parts),
    "file.normpath": lambda _tree, path: posixpath.normpath(path),
}
"""Salt's names; each is called with the job's tree first."""
