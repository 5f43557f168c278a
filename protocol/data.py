"""Plain data: what YAML, pillar, grains, arguments and results are made of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeAlias

Data: TypeAlias = "None | bool | int | float | str | bytes | Sequence[Data] | Mapping[str, Data]"
"""A tree of scalars, sequences and string-keyed mappings. Strings may be Secrets (protocol.secrets)."""
