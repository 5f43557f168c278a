"""What the audit keeps of a call's arguments: enough to tell what was asked, and no secret."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from master.api.table import bounded
from master.applycalls import FUNCTIONS as APPLY_FUNCTIONS
from master.compiler.secretwords import SecretWords
from master.orders import ARGUMENT_WORDS, positional
from protocol.data import Data
from protocol.errors import ArgumentError
from protocol.secrets import MASK, Scrubber
from states import registry

MOST_AUDITED = 4096
"""Characters of the arguments of one call that the audit keeps."""

_WORDS = SecretWords(ARGUMENT_WORDS)


def audited(given: object) -> dict[str, Data]:
    """Arguments as the audit keeps them: pillar values and what is named like a secret masked, long ones cut.

    What is given by position to a function is judged by the names of its parameters; when they are not known here
    (a tree's own function), only the job's record tells it, scrubbed of what the tree names a secret.
    """
    if not isinstance(given, Mapping):
        return {}
    try:
        bounded("a call", given)
    except ArgumentError as error:
        return {"unusable": error.message}
    kept = _without_pillar(given)
    if isinstance(kept.get("kwargs"), dict):
        kept["kwargs"] = _without_pillar(kept["kwargs"])
    if isinstance(kept.get("args"), list | tuple):
        kept["args"] = _positional(str(kept.get("function", "")), kept["args"])
    scrubbed = Scrubber().data(_WORDS.marked(kept))
    text = json.dumps(scrubbed, default=_text)
    if len(text) > MOST_AUDITED:
        return {"shortened": text[:MOST_AUDITED]}
    return dict(scrubbed) if isinstance(scrubbed, Mapping) else {}


def _without_pillar(given: Mapping[str, Any]) -> dict[str, Any]:
    """`given` with nothing of a pillar but its keys."""
    pillar = given.get("pillar")
    if pillar is None:
        return dict(given)
    return {**given, "pillar": dict.fromkeys(pillar, MASK) if isinstance(pillar, Mapping) else MASK}


def _positional(function: str, args: Sequence[Any]) -> list[Any]:
    if function in APPLY_FUNCTIONS:
        return list(args)
    try:
        registry.find_function(function)
    except ArgumentError:
        return [MASK] * len(args)
    return positional(function, args)


def _text(value: object) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
