"""Plain data: what YAML, pillar, grains, arguments and results are made of.

`Data` is a tree of scalars, sequences and string-keyed mappings; its strings may be Secrets (protocol.secrets).
A type checker sees the recursive alias; at run time it is a marker that the codec and the registry recognise in
annotations (Python cannot evaluate a recursive alias from another module).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import TypeAlias

    Data: TypeAlias = None | bool | int | float | str | bytes | Sequence["Data"] | Mapping[str, "Data"]
else:

    class Data:
        """The marker of plain data in annotations."""
