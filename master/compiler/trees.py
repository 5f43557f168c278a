"""How top files and the sources of pillar are put together: the settings that Salt's users know, under Salt's names."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Final, cast

from protocol.data import Data

TOP_STRATEGIES: Final = ("merge", "same", "merge_all")
PILLAR_STRATEGIES: Final = ("smart", "recurse", "aggregate", "overwrite", "none", "list")


@dataclass(frozen=True, slots=True)
class TreeOptions:
    """How top files and pillar sources are combined.

    top_file_merging_strategy       merge: the top file of base speaks for every environment that it names, that of
                                    another for its own environment when base does not; same: each environment's own
                                    top file, or that of default_top, speaks for it alone; merge_all: all of them add
    default_top                     whose top file serves, under `same`, an environment that has none
    env_order                       the environments that count, in this order; empty: base, then as configured
    state_top_saltenv               the one environment whose state top file is read; empty: all
    pillarenv                       the one environment that pillar comes from; empty: all
    pillarenv_from_saltenv          the pillar comes from the environment of the states, when that is not base
    pillar_source_merging_strategy  smart and recurse: mappings deeply, the rest replaced; overwrite and aggregate:
                                    each top-level key replaced; list: both values, in a list; none: as recurse, from
                                    one environment only
    pillar_merge_lists              a later list adds what it has more, instead of replacing
    pillar_includes_override_sls    an included pillar file wins over the one that includes it
    strict_pillar_targets           refuse, instead of warn, when what a minion reports of itself gives it a secret
    ext_pillar                      further sources: a list of mappings of one source's name to its options
    ext_pillar_first                those come first, and the pillar's top file and files see them
    ext_pillar_python               dotted names of the functions that the source `python` may call
    """

    top_file_merging_strategy: str = "merge"
    default_top: str = "base"
    env_order: tuple[str, ...] = ()
    state_top_saltenv: str = ""
    pillarenv: str = ""
    pillarenv_from_saltenv: bool = False
    pillar_source_merging_strategy: str = "smart"
    pillar_merge_lists: bool = False
    pillar_includes_override_sls: bool = False
    strict_pillar_targets: bool = False
    ext_pillar: tuple[Data, ...] = ()
    ext_pillar_first: bool = False
    ext_pillar_python: tuple[str, ...] = ()

    @classmethod
    def of(cls, settings: object) -> TreeOptions:
        """From any settings with attributes of the same names."""
        return cls(**{one.name: getattr(settings, one.name) for one in fields(cls)})

    def data(self) -> dict[str, Data]:
        """As plain data."""
        return {one.name: cast(Data, getattr(self, one.name)) for one in fields(self)}

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> TreeOptions:
        """From what `data` gave, lists for tuples."""
        given: dict[str, Any] = {key: tuple(value) if isinstance(value, list) else value for key, value in data.items()}
        return cls(**given)
