"""The functions that templates call as `salt["pillar.get"]`: those that need only grains, pillar and options."""

from __future__ import annotations

import base64
import difflib
import hashlib
import posixpath
from collections.abc import Callable, Mapping
from copy import deepcopy
from fnmatch import fnmatchcase
from typing import Any

from master.compiler.filters import flatten, to_json
from master.compiler.merge import merged, traverse, update
from protocol.errors import SlsError
from protocol.target import Subject, parse
from states.registry import function_names

Log = Callable[[str], None]
_ABSENT = object()


class FunctionMap:
    """What templates know as `salt`: `salt['pillar.get']` and `salt.pillar.get` are the same function."""

    def __init__(self, functions: Mapping[str, Callable[..., Any]]) -> None:
        self._functions = functions

    def __getitem__(self, name: str) -> Callable[..., Any]:
        found = self._functions.get(name)
        if found is None:
            raise _unavailable(str(name), list(self._functions))
        return found

    def __contains__(self, name: object) -> bool:
        return name in self._functions

    def __getattr__(self, module: str) -> _Module:
        if module.startswith("_"):
            raise AttributeError(module)
        return _Module(self, module)

    def get(self, name: str, default: Any = None) -> Any:
        """The function called `name`, or `default`."""
        return self._functions.get(name, default)


class _Module:
    def __init__(self, functions: FunctionMap, name: str) -> None:
        self._functions = functions
        self._name = name

    def __getattr__(self, name: str) -> Callable[..., Any]:
        if name.startswith("_"):
            raise AttributeError(name)
        return self._functions[f"{self._name}.{name}"]

    def __call__(self, *_args: Any, **_kwargs: Any) -> Any:
        raise _unavailable(self._name, [])


def _unavailable(name: str, known: list[str]) -> SlsError:
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.75)
    if close:
        return SlsError(f"there is no function {name!r} for templates", help=f"did you mean {close[0]!r}?")
    if name in function_names():
        help = "templates are rendered on the master; call it in a state with module.run, or read a grain or pillar key"
        return SlsError(f"the function {name!r} runs on a minion, and cannot be called while rendering", help=help)
    help = "read a grain or a pillar key instead, or use a state that runs on the minion"
    return SlsError(f"the function {name!r} cannot be called while rendering", help=help)


class Functions:
    """The functions for one minion with its grains, its pillar and the options that templates see as `opts`."""

    def __init__(
        self,
        minion: str,
        grains: Mapping[str, Any],
        pillar: Mapping[str, Any],
        opts: Mapping[str, Any],
        nodegroups: Mapping[str, Any],
        warn: Log,
    ) -> None:
        self._minion = minion
        self._grains = grains
        self._pillar = pillar
        self._opts = opts
        self._nodegroups = nodegroups
        self._warn = warn

    def map(self) -> FunctionMap:
        """All of them, as templates call them."""
        functions: dict[str, Callable[..., Any]] = dict(PURE)
        functions |= {
            "grains.get": self.grains_get,
            "grains.filter_by": self.filter_by,
            "grains.items": lambda: self._grains,
            "grains.item": lambda *names: {name: traverse(self._grains, name, "") for name in names},
            "grains.has_value": lambda key: bool(traverse(self._grains, key, None)),
            "grains.equals": lambda key, value: str(value) == str(traverse(self._grains, key, "")),
            "pillar.get": self.pillar_get,
            "pillar.items": lambda: self._pillar,
            "pillar.item": lambda *names: {name: traverse(self._pillar, name, "") for name in names},
            "pillar.keys": lambda key, delimiter=":": list(traverse(self._pillar, key, {}, delimiter)),
            "config.get": self.config_get,
            "config.option": self.config_get,
        }
        kinds = ("glob", "pcre", "list", "grain", "grain_pcre", "pillar", "pillar_pcre", "ipcidr", "compound")
        functions |= {f"match.{kind}": self._matcher(kind) for kind in kinds}
        functions |= {f"log.{level}": _ignored for level in ("trace", "debug", "info")}
        functions |= {f"log.{level}": self._logged for level in ("warning", "error", "critical")}
        return FunctionMap(functions)

    def grains_get(self, key: str, default: Any = "", delimiter: str = ":", ordered: bool = True) -> Any:
        """The grain at the path `key`, or `default`."""
        return traverse(self._grains, key, default, delimiter)

    def pillar_get(
        self,
        key: str,
        default: Any = "",
        merge: bool = False,
        merge_nested_lists: bool | None = None,
        delimiter: str = ":",
        pillarenv: str | None = None,
        saltenv: str | None = None,
    ) -> Any:
        """What the pillar has at the path `key`, or `default`; with `merge`, it is merged onto `default`."""
        found = traverse(self._pillar, key, _ABSENT, delimiter)
        if found is _ABSENT:
            return default
        if merge and isinstance(default, Mapping | list):
            return merged(deepcopy(default), deepcopy(found), lists=bool(merge_nested_lists))
        return found

    def config_get(self, key: str, default: Any = "", delimiter: str = ":", merge: Any = None, **_options: Any) -> Any:
        """What the options, else the grains, else the pillar have at the path `key`; or `default`.

        With `merge`, mappings of all of them are merged in that order of precedence, onto `default`.
        """
        found = [traverse(place, key, _ABSENT, delimiter) for place in (self._opts, self._grains, self._pillar)]
        there = [value for value in found if value is not _ABSENT]
        if not there:
            return default
        if merge and isinstance(there[0], Mapping):
            whole: Any = deepcopy(default) if isinstance(default, Mapping) else {}
            for value in reversed(there):
                whole = merged(whole, value) if isinstance(value, Mapping) else whole
            return whole
        return there[0]

    def filter_by(
        self,
        lookup_dict: Mapping[str, Any],
        grain: str = "os_family",
        merge: Mapping[str, Any] | None = None,
        default: str = "default",
        base: str | None = None,
    ) -> Any:
        """The entry of `lookup_dict` for the value of `grain`: on the entry `base`, and under `merge`.

        The first entry whose key, a glob, fits the grain (or the first of a list that one fits), else `default`.
        """
        value = traverse(self._grains, grain, [])
        found = None
        for each in value if isinstance(value, list | tuple) else [value]:
            fitting = (key for key in lookup_dict if fnmatchcase(str(each), str(key)))
            key = next(fitting, None)
            if key is not None:
                found = lookup_dict[key]
                break
        if found is None:
            found = lookup_dict.get(default)
        if base and base in lookup_dict:
            found = _on_base(deepcopy(lookup_dict[base]), found)
        if merge:
            if not isinstance(merge, Mapping):
                raise SlsError("the argument 'merge' of grains.filter_by must be a mapping")
            found = merge if found is None else merged(deepcopy(found), deepcopy(merge))
        return found

    def _matcher(self, kind: str) -> Callable[..., bool]:
        def match(tgt: Any, *_args: Any, **_kwargs: Any) -> bool:
            subject = Subject(self._minion, self._grains, self._pillar)
            target = parse(tgt, kind, self._nodegroups)
            if target.problem:
                raise SlsError(f"the target {tgt!r} cannot be read: {target.problem}")
            return target.matches(subject)

        return match

    def _logged(self, message: Any, *_args: Any) -> bool:
        self._warn(str(message))
        return True


def _on_base(below: Any, found: Any) -> Any:
    if found is None:
        return below
    if isinstance(below, Mapping) and not isinstance(found, Mapping):
        raise SlsError("grains.filter_by: what is looked up and its base must both be mappings")
    return merged(below, found)


def _ignored(*_args: Any) -> bool:
    return True


def defaults_merge(
    dest: dict[Any, Any] | None,
    upd: Mapping[Any, Any] | None,
    merge_lists: bool = False,
    in_place: bool = True,
    convert_none: bool = True,
) -> dict[Any, Any]:
    """`upd` merged into `dest`: into itself, or with `in_place` False into a copy."""
    target = dest if in_place else deepcopy(dest)
    if target is None and convert_none:
        target = {}
    if target is None:
        raise SlsError("defaults.merge: there is nothing to merge into")
    return update(target, upd or {}, lists=merge_lists)


def slsutil_merge(
    obj_a: Any, obj_b: Any, strategy: str = "smart", renderer: str = "yaml", merge_lists: bool = False
) -> Any:
    """`obj_b` on a copy of `obj_a`; strategy `smart`, `recurse` or `overwrite`."""
    if strategy not in ("smart", "recurse", "overwrite"):
        raise SlsError(f"slsutil.merge: the strategy {strategy!r} is not known", help="use smart, recurse or overwrite")
    if strategy == "overwrite":
        return {**obj_a, **obj_b}
    return merged(deepcopy(obj_a), deepcopy(obj_b), lists=merge_lists)


def _digest(text: str, checksum: str = "md5") -> str:
    return hashlib.new(checksum, text.encode(), usedforsecurity=False).hexdigest()


def _boolstr(value: Any, true: Any = True, false: Any = False) -> Any:
    return true if value else false


PURE: Mapping[str, Callable[..., Any]] = {
    "defaults.merge": defaults_merge,
    "defaults.update": defaults_merge,
    "defaults.deepcopy": deepcopy,
    "slsutil.merge": slsutil_merge,
    "slsutil.update": lambda dest, upd, recursive_update=True, merge_lists=False: update(dest, upd, lists=merge_lists),
    "slsutil.boolstr": _boolstr,
    "file.join": lambda *parts: posixpath.join(*parts),
    "file.dirname": posixpath.dirname,
    "file.basename": posixpath.basename,
    "hashutil.base64_b64encode": lambda text: base64.b64encode(text.encode()).decode("ascii"),
    "hashutil.base64_b64decode": lambda text: base64.b64decode(text).decode(),
    "hashutil.base64_encodestring": lambda text: base64.encodebytes(text.encode()).decode("ascii"),
    "hashutil.md5_digest": _digest,
    "hashutil.sha256_digest": lambda text: _digest(text, "sha256"),
    "hashutil.sha512_digest": lambda text: _digest(text, "sha512"),
    "hashutil.digest": _digest,
    "json.dumps": to_json,
    "list.flatten": flatten,
    "test.echo": lambda text: text,
    "test.ping": lambda: True,
}
"""Functions of their arguments only."""
