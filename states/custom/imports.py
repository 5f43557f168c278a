"""What `import` means within custom code: Salt's names give our shims, the tree's own files are found, ours refused.

The rule is in the builtins of the custom modules themselves: no other import of the process is touched.
"""

from __future__ import annotations

import builtins
import importlib.util
import sys
import types
from collections.abc import Mapping, Sequence
from typing import Any, Final, Protocol

from states.custom import shims

_OURS: Final = frozenset({"master", "minion", "protocol", "states"})
PREFIX: Final = "salt.loaded.ext"
"""Before the name of every custom module, as in Salt."""


class Files(Protocol):
    """The tree's own files, as modules."""

    def imported(self, kind: str, name: str) -> types.ModuleType | None:
        """The module or package `name` (dotted) of the folder of `kind`, loaded; None when there is none."""
        ...


class Importer:
    """Stands for `__import__` in the custom modules of one job."""

    def __init__(self, files: Files) -> None:
        self._files = files
        self._shims = shims.modules()

    def builtins(self) -> dict[str, Any]:
        """The builtins of a custom module."""
        return {**vars(builtins), "__import__": self._import}

    def _import(
        self,
        name: str,
        globals: Mapping[str, Any] | None = None,
        locals: Mapping[str, Any] | None = None,
        fromlist: Sequence[str] | None = (),
        level: int = 0,
    ) -> types.ModuleType:
        scope, wanted = globals or {}, tuple(fromlist or ())
        if level:
            return self._relative(name, scope, wanted, level)
        top = name.partition(".")[0]
        if top == "salt":
            return self._salt(name, wanted)
        if top in _OURS:
            raise _refused(f"{top} is internal to stackmaster", "call __salt__['module.function'] instead")
        if not _installed(top):
            found = self._own(name, scope, wanted)
            if found is not None:
                return found
        return builtins.__import__(name, globals, locals, wanted, 0)

    # --- Salt ---------------------------------------------------------------------------------------------------

    def _salt(self, name: str, wanted: tuple[str, ...]) -> types.ModuleType:
        module = self._shims.get(name)
        if module is None:
            raise _refused(f"stackmaster does not have {name}", _instead(name))
        for item in wanted:
            if item != "*" and not hasattr(module, item):
                raise _refused(f"stackmaster does not have {name}.{item}", _instead(f"{name}.{item}"))
        return module if wanted else self._shims["salt"]

    # --- the tree -----------------------------------------------------------------------------------------------

    def _own(self, name: str, scope: Mapping[str, Any], wanted: tuple[str, ...]) -> types.ModuleType | None:
        """A file beside the importing one, or one of `_utils`, by its absolute name."""
        for kind in dict.fromkeys((_kind(scope), "utils")):
            if self._files.imported(kind, name.partition(".")[0]) is None:
                continue
            module = self._files.imported(kind, name)
            if module is None:
                raise _refused(f"_{kind} has no {name}", "see that its file is in the tree")
            self._parts(kind, name, module, wanted)
            return module if wanted else self._files.imported(kind, name.partition(".")[0])
        return None

    def _relative(self, name: str, scope: Mapping[str, Any], wanted: tuple[str, ...], level: int) -> types.ModuleType:
        kind = _kind(scope)
        package = str(scope.get("__package__") or "").split(".")[4:]
        if level > len(package):
            raise _refused("a relative import leads out of the package", "name a file of the same package")
        dotted = ".".join([*package[: len(package) - level + 1], *filter(None, [name])])
        module = self._files.imported(kind, dotted)
        if module is None:
            raise _refused(f"_{kind} has no {dotted}", "see that its file is in the tree")
        self._parts(kind, dotted, module, wanted)
        return module

    def _parts(self, kind: str, name: str, module: types.ModuleType, wanted: tuple[str, ...]) -> None:
        """Load the modules of a package that `from package import part` names."""
        for item in wanted:
            if not hasattr(module, item):
                part = self._files.imported(kind, f"{name}.{item}")
                if part is not None:
                    setattr(module, item, part)


def _kind(scope: Mapping[str, Any]) -> str:
    """The kind of the importing file: `salt.loaded.ext.<kind>.<name>`."""
    parts = str(scope.get("__name__", "")).split(".")
    return parts[3] if len(parts) > 4 else "utils"


def _installed(name: str) -> bool:
    try:
        return name in sys.modules or importlib.util.find_spec(name) is not None
    except (ImportError, ValueError):
        return False


def _instead(name: str) -> str:
    hint = next((hint for prefix, hint in shims.HINTS.items() if f"{name}.".startswith(f"{prefix}.")), "")
    listed = "docs/custom-code.md lists what there is"
    return f"{hint}; {listed}" if hint else f"use the standard library; {listed}"


def _refused(message: str, help: str) -> ImportError:
    """The error, with the place of the `import` statement: the first frame that is not of this file."""
    frame: types.FrameType | None = sys._getframe(1)
    while frame is not None and frame.f_code.co_filename == __file__:
        frame = frame.f_back
    place = "" if frame is None else f"{frame.f_code.co_filename}:{frame.f_lineno}: "
    return ImportError(f"{place}{message} ({help})")
