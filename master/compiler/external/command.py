"""Pillar that a program on the master prints, as YAML or JSON: an argv, a deadline, a bound on what it prints."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from master.compiler.external.source import Asked, Source, check_places
from master.compiler.yaml import load_plain
from protocol.errors import ConfigError, SlsError, StateError

_MOST = 512 * 1024
"""Bytes of output: half of what `states.host.process` keeps."""


@dataclass(frozen=True, slots=True)
class YamlCommand(Source):
    """A command whose output is YAML.

    command   the words of the command, the first one an absolute path; `{minion}` (or Salt's %s) is the minion's id
    deadline  seconds that it may take
    most      bytes that it may print
    secret    all that it gives is secret

    It runs as the master's user, without a shell, in the limits of the compiling process (memory, processor time, no
    file can be written); its environment holds PATH, LC_ALL, HOME and STACKMASTER_MINION.
    """

    command: tuple[str, ...] = ()
    deadline: float = 10.0
    most: int = _MOST

    @classmethod
    def options(cls, given: Any) -> Mapping[str, Any]:
        """Also the bare list of words. Raises ConfigError for a command line in one string."""
        words = given.get("command") if isinstance(given, Mapping) else given
        if isinstance(words, str):
            help = f"write {json.dumps(_split(words))}: no shell reads it"
            raise ConfigError("the command must be a list of its words", help=help)
        return given if isinstance(given, Mapping) else {"command": words}

    def check(self, allowed: Sequence[str]) -> None:
        """Refuse what is no command. Raises ConfigError."""
        if not self.command or not self.command[0].startswith("/"):
            raise ConfigError("'command' must begin with the absolute path of a program")
        if not 0 < self.deadline <= 60:
            raise ConfigError("'deadline' must be more than 0 and at most 60 seconds")
        if not 0 < self.most <= _MOST:
            raise ConfigError(f"'most' must be more than 0 and at most {_MOST} bytes")
        for word in self.command:
            check_places(word)

    def given(self, asked: Asked) -> Any:
        """Run it and read what it prints. Raises StackmasterError."""
        return load_plain(self._output(asked), self.command[0])

    def _output(self, asked: Asked) -> str:
        from states.context import Context
        from states.host.process import run

        argv = [asked.filled(word.replace("%s", "{minion}")) for word in self.command]
        context = Context(minion=asked.minion, grains={}, root=Path("/"))
        environment = {"STACKMASTER_MINION": asked.minion, "HOME": "/nonexistent"}
        try:
            completed = run(context, argv, env=environment, deadline=self.deadline)
        except StateError as error:
            raise SlsError(error.message, help=error.help) from None
        if completed.left_out or len(completed.stdout.encode()) > self.most:
            raise SlsError(f"{argv[0]} printed more than {self.most} bytes")
        return completed.stdout


@dataclass(frozen=True, slots=True)
class JsonCommand(YamlCommand):
    """A command whose output is JSON; else as YamlCommand."""

    def given(self, asked: Asked) -> Any:
        """Run it and read what it prints. Raises StackmasterError."""
        try:
            return json.loads(self._output(asked))
        except (ValueError, RecursionError) as error:
            raise SlsError(f"{self.command[0]} printed no JSON: {error}") from None


def _split(line: str) -> list[str]:
    try:
        return shlex.split(line)
    except ValueError:
        return line.split()
