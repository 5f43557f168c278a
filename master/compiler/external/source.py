"""What a source of pillar is: options that can be checked, and one question."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from protocol.errors import ConfigError

_PLACE = re.compile(r"\{([^{}]*)\}")


@dataclass(frozen=True, slots=True)
class Asked:
    """What a source is asked for: the pillar of `minion`, of which `pillar` is there already.

    A minion's grains are not in it: what a minion reports of itself must not choose what the master opens or fetches.
    """

    minion: str
    environment: str
    pillar: Mapping[str, Any]
    nodegroups: Mapping[str, Any]

    def with_more(self, data: Mapping[Any, Any]) -> Asked:
        """The same with `data` in the pillar too."""
        return replace(self, pillar={**self.pillar, **data}) if data else self

    def filled(self, text: str) -> str:
        """`text` with `{minion}` and `{environment}` filled in."""
        return _PLACE.sub(lambda found: str(getattr(self, found[1])), text)


@dataclass(frozen=True, slots=True)
class Source:
    """One source. Its fields are its options; `secret` says that all it gives is secret."""

    secret: bool = False

    @classmethod
    def options(cls, given: Any) -> Mapping[str, Any]:
        """The options that a configuration gives, as a mapping. Raises ConfigError."""
        if not isinstance(given, Mapping):
            raise ConfigError("its options must be a mapping")
        return given

    def check(self, allowed: Sequence[str]) -> None:
        """Refuse options that cannot work; `allowed` are the functions that `python` may call. Raises ConfigError."""

    def given(self, asked: Asked) -> Any:
        """The data for one minion. Raises StackmasterError."""
        raise ConfigError("a source without a question")


def check_places(text: str) -> None:
    """Refuse any place to fill in but `{minion}` and `{environment}`. Raises ConfigError."""
    for found in _PLACE.finditer(text):
        if found[1] not in ("minion", "environment"):
            message = f"{found[0]} cannot be filled in"
            help = "{minion} and {environment} can; grains cannot, since minions report them themselves"
            raise ConfigError(message, help=help)
