"""Pillar from a Python function of the operator's, named by its dotted path and allowed by name in the settings."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from master.compiler.external.source import Asked, Source
from protocol.data import Data
from protocol.errors import ConfigError, SlsError

_FAILURES = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    ImportError,
    LookupError,
    OSError,
    RuntimeError,
    SyntaxError,
    TypeError,
    ValueError,
)
"""What a function of somebody else's can raise."""


@dataclass(frozen=True, slots=True)
class PythonFunction(Source):
    """A call of `call(minion_id, pillar, **arguments)` in the compiling process, in its limits.

    call       the dotted path of the function; it must be among `ext_pillar_python` of the settings
    folder     a folder with the module, if it is not installed
    arguments  further keyword arguments
    secret     all that it gives is secret
    """

    call: str = ""
    folder: Path | None = None
    arguments: Mapping[str, Data] = field(default_factory=dict)

    def check(self, allowed: Sequence[str]) -> None:
        """Refuse a function that is not allowed. Raises ConfigError."""
        if "." not in self.call:
            raise ConfigError("'call' must be the dotted path of a function, as in site_pillar.of_minion")
        if self.call not in allowed:
            help = f"add it to ext_pillar_python: [{self.call}]; it runs with the rights of the master"
            raise ConfigError(f"the function {self.call} is not allowed", help=help)
        if self.folder is not None and not self.folder.is_absolute():
            raise ConfigError("'folder' must be an absolute path")

    def given(self, asked: Asked) -> Any:
        """What the function returns. Raises SlsError with the kind of its exception."""
        module, _, name = self.call.rpartition(".")
        if self.folder is not None and str(self.folder) not in sys.path:
            sys.path.append(str(self.folder))
        try:
            function = getattr(importlib.import_module(module), name)
            return function(asked.minion, dict(asked.pillar), **self.arguments)
        except _FAILURES as error:
            raise SlsError(f"{self.call} raised {type(error).__name__}: {error}") from None
