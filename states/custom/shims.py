"""The few parts of Salt's library that custom code uses most, written anew: the modules that `import salt.…` gives."""

from __future__ import annotations

import configparser
import functools
import inspect
import io
import json
import os
import pickle
import posixpath
import queue
import shlex
import shutil
import sys
import tempfile
import types
import urllib.error
import urllib.parse
import urllib.request
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

import yaml

from states.custom import exceptions, shimdata

HINTS: Final[Mapping[str, str]] = {
    "salt.client": "start work on other minions from an orchestration",
    "salt.cloud": "use the provider's own library",
    "salt.config": "read __opts__",
    "salt.fileclient": "name the file in a salt:// argument of the state",
    "salt.loader": "call __salt__['module.function']",
    "salt.log": "use the standard library's logging",
    "salt.modules": "call __salt__['module.function']",
    "salt.pillar": "read __pillar__",
    "salt.runner": "use an orchestration",
    "salt.states": "call __states__['module.function']",
    "salt.utils.event": "return what happened in the result of the state",
    "salt.utils.http": "use urllib.request of the standard library",
    "salt.utils.templates": "use a file state with `template: jinja`",
}
"""What to do instead of importing a part of Salt that is not offered."""


class Shim(types.ModuleType):
    """A module of ours under Salt's name; what it lacks is told by name."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        raise AttributeError(f"stackmaster does not have {self.__name__}.{name}; docs/custom-code.md lists what it has")


def modules() -> dict[str, types.ModuleType]:
    """Every offered module by its full name, parents and children tied together."""
    made: dict[str, types.ModuleType] = {}
    for name, members in _MEMBERS.items():
        module = Shim(name)
        module.__dict__.update(members)
        made[name] = module
    for name in made:
        parent, _, own = name.rpartition(".")
        if parent:
            setattr(made[parent], own, made[name])
    return made


# --- salt.utils.files, path, platform, args, versions -----------------------------------------------------------


def _fopen(path: Any, mode: str = "r", *args: Any, **kwargs: Any) -> Any:
    """`open`, in UTF-8 unless it is binary."""
    if "b" not in mode and len(args) < 2:
        kwargs.setdefault("encoding", "utf-8")
    return open(path, mode, *args, **kwargs)  # noqa: PTH123 - the caller's to close, with open's own arguments


@contextmanager
def _set_umask(mask: int | None) -> Iterator[None]:
    if mask is None:
        yield
        return
    before = os.umask(mask)
    try:
        yield
    finally:
        os.umask(before)


def _mkstemp(*args: Any, close_fd: bool = True, **kwargs: Any) -> Any:
    handle, path = tempfile.mkstemp(*args, **kwargs)
    if not close_fd:
        return handle, path
    os.close(handle)
    return path


def _which_bin(names: Any) -> str | None:
    return next((found for name in names if (found := shutil.which(name))), None)


def _clean_kwargs(**kwargs: Any) -> dict[str, Any]:
    return {key: value for key, value in kwargs.items() if not key.startswith("__")}


def _argspec(function: Callable[..., Any]) -> Any:
    return inspect.getfullargspec(function)


def _yes() -> bool:
    return True


def _no() -> bool:
    return False


def _ignored(*_args: Any, **_kwargs: Any) -> None:
    return None


_PLATFORMS = ("windows", "darwin", "sunos", "smartos", "freebsd", "netbsd", "openbsd", "aix", "proxy", "junos")
_PLATFORM: dict[str, Any] = {"is_linux": _yes, **{f"is_{name}": _no for name in _PLATFORMS}}
_FILES: dict[str, Any] = {
    "fopen": _fopen, "flopen": _fopen, "set_umask": _set_umask, "mkstemp": _mkstemp, "rename": os.replace,
    "copyfile": shutil.copyfile,
}  # fmt: skip
_PATH: dict[str, Any] = {
    "which": shutil.which, "which_bin": _which_bin, "join": posixpath.join, "islink": os.path.islink,
    "readlink": os.readlink,
}  # fmt: skip


# --- six ----------------------------------------------------------------------------------------------------------


def _reraise(_kind: Any, value: BaseException, trace: Any = None) -> None:
    raise value.with_traceback(trace)


def _with_metaclass(meta: Any, *bases: type) -> Any:
    return meta("Base", bases, {})


def _add_metaclass(meta: Any) -> Callable[[type], Any]:
    return lambda cls: meta(cls.__name__, cls.__bases__, {
        key: value for key, value in vars(cls).items() if key not in ("__dict__", "__weakref__")
    })  # fmt: skip


_SIX: dict[str, Any] = {
    "PY2": False, "PY3": True, "string_types": (str,), "text_type": str, "binary_type": bytes, "integer_types": (int,),
    "class_types": (type,), "MAXSIZE": sys.maxsize, "StringIO": io.StringIO, "BytesIO": io.BytesIO,
    "iteritems": lambda mapping: iter(mapping.items()), "iterkeys": lambda mapping: iter(mapping.keys()),
    "itervalues": lambda mapping: iter(mapping.values()), "viewitems": lambda mapping: mapping.items(),
    "viewkeys": lambda mapping: mapping.keys(), "u": str, "b": lambda text: text.encode("latin-1"),
    "ensure_str": shimdata.to_str, "ensure_text": shimdata.to_str, "ensure_binary": shimdata.to_bytes,
    "reraise": _reraise, "with_metaclass": _with_metaclass, "add_metaclass": _add_metaclass, "wraps": functools.wraps,
}  # fmt: skip
_MOVES: dict[str, Any] = {
    "range": range, "xrange": range, "zip": zip, "map": map, "filter": filter, "input": input,
    "reduce": functools.reduce, "shlex_quote": shlex.quote, "StringIO": io.StringIO, "cStringIO": io.StringIO,
    "cPickle": pickle, "configparser": configparser, "queue": queue,
}  # fmt: skip
_URLLIB: dict[str, Any] = {"parse": urllib.parse, "request": urllib.request, "error": urllib.error}


# --- all of them ----------------------------------------------------------------------------------------------------

_MEMBERS: Final[Mapping[str, Mapping[str, Any]]] = {
    "salt": {},
    "salt.exceptions": {name: kind for name, kind in vars(exceptions).items() if isinstance(kind, type)},
    "salt.ext": {},
    "salt.ext.six": _SIX,
    "salt.ext.six.moves": _MOVES,
    "salt.ext.six.moves.urllib": _URLLIB,
    "salt.ext.six.moves.urllib.parse": vars(urllib.parse),
    "salt.ext.six.moves.urllib.request": vars(urllib.request),
    "salt.ext.six.moves.urllib.error": vars(urllib.error),
    "salt.utils": {
        **_FILES, **_PATH, **_PLATFORM, "clean_kwargs": _clean_kwargs, "warn_until": _ignored,
        "to_str": shimdata.to_str, "to_bytes": shimdata.to_bytes, "is_true": shimdata.is_true,
        "traverse_dict": shimdata.traverse_dict, "compare_dicts": shimdata.compare_dicts,
        "repack_dictlist": shimdata.repack_dictlist, "is_dictlist": shimdata.is_dictlist,
    },
    "salt.utils.args": {"clean_kwargs": _clean_kwargs, "get_function_argspec": _argspec},
    "salt.utils.data": {
        name: getattr(shimdata, name)
        for name in (
            "is_true", "traverse_dict", "traverse_dict_and_list", "repack_dictlist", "is_dictlist", "compare_dicts",
            "compare_lists", "stringify", "decode", "encode", "is_list", "is_iter",
        )
    },
    "salt.utils.dictdiffer": {"deep_diff": shimdata.deep_diff},
    "salt.utils.dictupdate": {"update": shimdata.update, "merge": shimdata.merge, "merge_recurse": shimdata.merge},
    "salt.utils.files": _FILES,
    "salt.utils.json": {"loads": json.loads, "load": json.load, "dumps": json.dumps, "dump": json.dump},
    "salt.utils.odict": {"OrderedDict": OrderedDict},
    "salt.utils.path": _PATH,
    "salt.utils.platform": _PLATFORM,
    "salt.utils.stringutils": {
        "to_str": shimdata.to_str, "to_unicode": shimdata.to_str, "to_bytes": shimdata.to_bytes,
        "to_num": shimdata.to_num, "is_hex": shimdata.is_hex,
    },
    "salt.utils.versions": {
        "LooseVersion": shimdata.LooseVersion, "version_cmp": shimdata.version_cmp, "warn_until": _ignored,
        "compare": shimdata.compare_versions,
    },
    "salt.utils.yaml": {
        "safe_load": yaml.safe_load, "load": yaml.safe_load, "safe_dump": yaml.safe_dump, "dump": yaml.safe_dump,
    },
}  # fmt: skip
