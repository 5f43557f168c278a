"""The filters and tests that Salt adds to Jinja, by the name that a template uses."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from master.compiler.filters import hashing, mappings, network, paths, sequences, serial, text

FILTERS: Final[Mapping[str, Callable[..., Any]]] = {
    **serial.FILTERS,
    **text.FILTERS,
    **sequences.FILTERS,
    **mappings.FILTERS,
    **network.FILTERS,
    **hashing.FILTERS,
    **paths.FILTERS,
}
"""Those that need nothing but their arguments; `outside` has the others."""

ENCODERS: Final = frozenset(
    {"json", "tojson", "yaml", "python", "yaml_encode", "yaml_dquote", "yaml_squote", "quote", "is_list"}
    | {"dict_to_sls_yaml_params", "md5", "sha1", "sha256", "sha512", "hmac", "hmac_compute", "uuid"}
)
"""Filters whose result is safe in YAML text whatever goes in, or holds nothing of it."""

TESTS: Final[Mapping[str, Callable[..., Any]]] = {
    "list": lambda value: isinstance(value, list),
    "match": lambda value, pattern, ignorecase=False, multiline=False: (
        text.regex_match(str(value), pattern, ignorecase, multiline) is not None
    ),
    "equalto": lambda first, second: first == second,
}
