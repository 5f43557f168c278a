"""The functions that templates call as `salt["pillar.get"]`: some need grains, pillar and options only, others ask."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable, Mapping
from copy import deepcopy
from fnmatch import fnmatchcase
from typing import Any

from master.compiler.filters.outside import outside_filters
from master.compiler.merge import merged
from master.compiler.netfunctions import network_functions
from master.compiler.outward import Outward, unanswered, unknown
from master.compiler.purefunctions import PURE
from master.compiler.reads import Reads
from master.compiler.watched import look, unwatched
from protocol.errors import SlsError
from protocol.target import Subject, parse
from states.registry import function_names

Log = Callable[[str], None]
_ABSENT = object()
_MATCHERS = (
    "glob", "pcre", "list", "grain", "grain_pcre", "pillar", "pillar_pcre", "pillar_exact", "ipcidr", "compound",
    "nodegroup",
)  # fmt: skip


class FunctionMap:
    """What templates know as `salt`: `salt['pillar.get']` and `salt.pillar.get` are the same function."""

    def __init__(
        self, functions: Mapping[str, Callable[..., Any]], outward: Outward, own: Callable[[], Iterable[str]]
    ) -> None:
        self._functions = functions
        self._outward = outward
        self._own = own

    def __getitem__(self, name: str) -> Callable[..., Any]:
        found: Callable[..., Any] | None = self.get(name)
        if found is not None:
            return found
        if name in self._asked():
            raise unanswered(name)
        raise unknown(str(name), [*self._functions, *self._asked()])

    def __contains__(self, name: object) -> bool:
        return name in self._functions or (self._outward.reachable and name in self._asked())

    def __getattr__(self, module: str) -> _Module:
        if module.startswith("_"):
            raise AttributeError(module)
        return _Module(self, module)

    def get(self, name: str, default: Any = None) -> Any:
        """The function called `name`, or `default`."""
        found = self._functions.get(name)
        if found is None and name in self:
            return self._asking(name)
        return default if found is None else found

    def keys(self) -> Iterable[str]:
        """The names of all functions."""
        return sorted({*self._functions, *(self._asked() if self._outward.reachable else ())})

    def _asked(self) -> set[str]:
        return {*function_names(), "mine.get", *self._own()}

    def _asking(self, name: str) -> Callable[..., Any]:
        return lambda *args, **kwargs: self._outward.ask(name, *args, **kwargs)


class _Module:
    def __init__(self, functions: FunctionMap, name: str) -> None:
        self._functions = functions
        self._name = name

    def __getattr__(self, name: str) -> Callable[..., Any]:
        if name.startswith("_"):
            raise AttributeError(name)
        return self._functions[f"{self._name}.{name}"]

    def __call__(self, *_args: Any, **_kwargs: Any) -> Any:
        raise unknown(self._name, self._functions.keys())


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
        reads: Reads,
    ) -> None:
        self._minion = minion
        self._grains = grains
        self._pillar = pillar
        self._opts = opts
        self._nodegroups = nodegroups
        self._warn = warn
        self._reads = reads

    def map(
        self, outward: Outward, more: Mapping[str, Callable[..., Any]], own: Callable[[], Iterable[str]] = tuple
    ) -> FunctionMap:
        """All of them and `more`, as templates call them; those of the minion and the tree's `own` ask `outward`."""
        functions: dict[str, Callable[..., Any]] = dict(PURE)
        functions |= {
            "grains.get": self.grains_get,
            "grains.filter_by": self.filter_by,
            "grains.items": lambda *_sanitize: self._grains,
            "grains.item": lambda *names: {name: look(self._grains, name, "") for name in names},
            "grains.has_value": lambda key: bool(look(self._grains, key, None)),
            "grains.equals": lambda key, value: str(value) == str(look(self._grains, key, "")),
            "grains.ls": lambda: sorted(self._grains),
            "pillar.get": self.pillar_get,
            "pillar.items": lambda *_keys, **_options: self._pillar,
            "pillar.data": lambda *_keys, **_options: self._pillar,
            "pillar.raw": lambda key=None: self._pillar if key is None else self._pillar.get(key, {}),
            "pillar.item": lambda *names: {name: look(self._pillar, name, "") for name in names},
            "pillar.ls": lambda *_keys: list(self._pillar),
            "pillar.keys": lambda key, delimiter=":": list(look(self._pillar, key, {}, delimiter)),
            "pillar.filter_by": self.pillar_filter_by,
            "config.get": self.config_get,
            "config.option": self.config_get,
            "config.items": lambda: self._opts,
            "test.exception": _exception,
            "match.filter_by": self.match_filter_by,
            "match.search_by": self.match_search_by,
            "match.ifelse": self.ifelse,
        }
        functions |= {f"match.{kind}": self._matcher(kind) for kind in _MATCHERS}
        functions |= {f"log.{level}": _ignored for level in ("trace", "debug", "info", "verbose", "garbage", "profile")}
        functions |= {f"log.{level}": self._logged for level in ("warning", "warn", "error", "critical", "exception")}
        return FunctionMap(functions | network_functions(self._grains) | _chances(outward) | dict(more), outward, own)

    def grains_get(self, key: str, default: Any = "", delimiter: str = ":", ordered: bool = True) -> Any:
        """The grain at the path `key`, or `default`."""
        return look(self._grains, key, default, delimiter)

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
        found = look(self._pillar, key, _ABSENT, delimiter)
        if found is _ABSENT:
            return default
        if merge and isinstance(default, Mapping | list):
            return merged(deepcopy(default), deepcopy(found), lists=bool(merge_nested_lists))
        return found

    def config_get(self, key: str, default: Any = "", delimiter: str = ":", merge: Any = None, **_options: Any) -> Any:
        """What the options, else the grains, else the pillar have at the path `key`; or `default`.

        With `merge`, mappings of all of them are merged in that order of precedence, onto `default`.
        """
        found = (look(place, key, _ABSENT, delimiter) for place in (self._opts, self._grains, self._pillar))
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
        return _filtered(lookup_dict, look(self._grains, grain, []), merge, default, base)

    def pillar_filter_by(
        self,
        lookup_dict: Mapping[str, Any],
        pillar: str,
        merge: Mapping[str, Any] | None = None,
        default: str = "default",
        base: str | None = None,
    ) -> Any:
        """As `grains.filter_by`, for what the pillar has at the path `pillar`."""
        return _filtered(lookup_dict, look(self._pillar, pillar, []), merge, default, base)

    def match_filter_by(
        self,
        lookup: Mapping[str, Any],
        tgt_type: str = "compound",
        minion_id: str | None = None,
        merge: Mapping[str, Any] | None = None,
        merge_lists: bool = False,
        default: str = "default",
    ) -> Any:
        """The entry of the first target in `lookup` that means this minion, under `merge`; else that of `default`."""
        match = self._matcher(tgt_type)
        for target, value in lookup.items():
            if match(target):
                return value if not merge else merged(deepcopy(value or {}), deepcopy(merge), lists=merge_lists)
        return lookup.get(default)

    def match_search_by(
        self, lookup: Mapping[str, Any], tgt_type: str = "compound", minion_id: str | None = None
    ) -> list[str] | None:
        """The keys of `lookup` that have a target which means this minion; None when there is none."""
        match = self._matcher(tgt_type)
        return [key for key, targets in lookup.items() for target in targets if match(target)] or None

    def ifelse(self, *args: Any, tgt_type: str = "compound", **options: Any) -> Any:
        """`target, value, target, value, …, default`: the value of the first target that means this minion."""
        if len(args) % 2 == 0:
            raise SlsError("ifelse takes pairs of a target and a value, and a default at the end")
        match = self._matcher(tgt_type)
        for target, value in zip(args[:-1:2], args[1::2], strict=True):
            if target is True or (target is not False and match(target)):
                return self.match_filter_by({"*": value}, merge=options.get("merge"), default="")
        return args[-1]

    def _matcher(self, kind: str) -> Callable[..., bool]:
        subject = Subject(self._minion, unwatched(self._grains), unwatched(self._pillar))

        def match(tgt: Any, *_args: Any, **_kwargs: Any) -> bool:
            target = parse(tgt, kind, self._nodegroups)
            if target.problem:
                raise SlsError(f"the target {tgt!r} cannot be read: {target.problem}")
            return self._reads.matches(target, tgt, subject)

        return match

    def _logged(self, message: Any, *_args: Any) -> bool:
        self._warn(str(message))
        return True


def _filtered(
    lookup: Mapping[str, Any], value: Any, merge: Mapping[str, Any] | None, default: str, base: str | None
) -> Any:
    """The entry of `lookup` whose key, a glob, is the first to fit the value or one of the values."""
    found = None
    for each in value if isinstance(value, list | tuple) else [value]:
        key = next((key for key in lookup if fnmatchcase(str(each), str(key))), None)
        if key is not None:
            found = lookup[key]
            break
    if found is None:
        found = lookup.get(default)
    if base and base in lookup:
        found = _on_base(deepcopy(lookup[base]), found)
    if merge:
        if not isinstance(merge, Mapping):
            raise SlsError("the argument 'merge' of filter_by must be a mapping")
        found = merge if found is None else merged(deepcopy(found), deepcopy(merge))
    return found


def _chances(outward: Outward) -> dict[str, Callable[..., Any]]:
    """The functions of the module `random`; what chance has a part in is true once only."""
    made = outside_filters(outward)

    def get_str(length: int = 20, chars: str | None = None, **_options: Any) -> str:
        outward.once()
        letters = chars or "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
        return "".join(secrets.choice(letters) for _ in range(int(length)))

    def rand_int(start: int = 1, end: int = 10, seed: Any = None) -> Any:
        return made["random_sample"](range(int(start), int(end) + 1), 1, seed)[0]

    return {
        "random.get_str": get_str,
        "random.rand_int": rand_int,
        "random.sample": made["random_sample"],
        "random.shuffle": made["random_shuffle"],
        "test.rand_str": made["random_hash"],
        "test.random_hash": made["random_hash"],
    }


def _exception(message: str = "Test Exception") -> None:
    raise SlsError(message)


def _on_base(below: Any, found: Any) -> Any:
    if found is None:
        return below
    if isinstance(below, Mapping) and not isinstance(found, Mapping):
        raise SlsError("grains.filter_by: what is looked up and its base must both be mappings")
    return merged(below, found)


def _ignored(*_args: Any) -> bool:
    return True
