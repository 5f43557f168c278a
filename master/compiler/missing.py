"""Undefined values in templates: any use is an error that says which name, and which ones there are."""

from __future__ import annotations

import difflib
from collections.abc import Mapping

from jinja2 import StrictUndefined


class Missing(StrictUndefined):
    """An undefined value; `is defined` and `default` may ask for it, nothing else."""

    __slots__ = ()

    @property
    def _undefined_message(self) -> str:
        if self._undefined_hint:
            return str(self._undefined_hint)
        if isinstance(self._undefined_obj, Mapping):
            keys = [str(key) for key in self._undefined_obj]
            close = difflib.get_close_matches(str(self._undefined_name), keys, n=1)
            suggestion = f"; did you mean {close[0]!r}?" if close else ""
            return f"there is no key {self._undefined_name!r}{suggestion}"
        if isinstance(self._undefined_obj, type(_NOTHING)):
            return f"{self._undefined_name!r} is undefined"
        kind = type(self._undefined_obj).__name__
        return f"a value of type {kind} has no {self._undefined_name!r}"


_NOTHING = StrictUndefined()._undefined_obj
