"""A state of ours applied by custom code, in the middle of its own work."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from protocol.assignment import Assignment, Chunk
from states.custom import outcome
from states.custom.tree import Tree


def apply_state(tree: Tree, name: str, subject: str, kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """Apply one state of ours within the job (in a dry run: foretell it), and give Salt's mapping of its result."""
    context = tree.context
    family, _, function = name.partition(".")
    args = {key: outcome.plain(value) for key, value in kwargs.items() if not key.startswith("__")}
    test = context.test or bool(args.pop("test", False))
    chunk = Chunk(family, function, subject, subject, "", args=args, sources=context.sources)
    results = tree.apply(Assignment(context.minion, (chunk,)), context, lambda _progress: None, test=test)
    return outcome.salt_result(results[0])
