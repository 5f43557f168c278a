"""Whether the settings of top files and pillar sources mean something, told before the master serves."""

from __future__ import annotations

from master.compiler.external import check_sources
from master.compiler.trees import PILLAR_STRATEGIES, TOP_STRATEGIES, TreeOptions
from protocol.errors import ConfigError


def check_trees(options: TreeOptions) -> None:
    """Refuse words that mean nothing and sources that cannot be asked. Raises ConfigError naming the key."""
    for key, known in (
        ("top_file_merging_strategy", TOP_STRATEGIES),
        ("pillar_source_merging_strategy", PILLAR_STRATEGIES),
    ):
        if getattr(options, key) not in known:
            raise ConfigError(f"{key!r} cannot be {getattr(options, key)!r}", help=f"choose one of {', '.join(known)}")
    if options.ext_pillar:
        check_sources(options.ext_pillar, options.ext_pillar_python)
