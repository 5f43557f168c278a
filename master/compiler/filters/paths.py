"""Filters on paths, which look at no file."""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Mapping
from typing import Any, Final


def path_join(*parts: Any, use_posixpath: bool = True) -> str:
    """One path of its parts; those behind the first are below it, whether or not they begin with `/`."""
    first, *rest = (posixpath.normpath(str(part)) for part in parts)
    return posixpath.normpath(posixpath.join(first, *(part.lstrip("/") for part in rest)))


FILTERS: Final[Mapping[str, Callable[..., Any]]] = {"path_join": path_join}
"""By the name that a template uses."""
