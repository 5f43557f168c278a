"""What a check finds: one thing at one place, how grave it is, and for which of the sampled minions."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

from protocol.data import Data
from protocol.errors import SlsError

Severity = Literal["error", "warning", "hint"]
SEVERITIES: Final = ("error", "warning", "hint")

_CODES: Final[tuple[tuple[str, str], ...]] = (
    (r"^undefined in a template", "render.undefined"),
    (r"^template syntax", "render.syntax"),
    (r"^there is no file .* to import", "import.missing"),
    (r"runs on a minion, and cannot be called", "render.minion"),
    (r"^template|while rendering|^rendering", "render"),
    (r"^there is no SLS|^there is no pillar", "include.missing"),
    (r"leads above the top", "include.missing"),
    (r"which no (included file|state) declares", "requisite.missing"),
    (r"depend on each other|circle|recursive", "requisite.circle"),
    (r"is already declared in", "id.conflict"),
    (r"^there is no (orchestration )?state|is a step of an orchestration|has no function", "state.unknown"),
    (r"has no argument|has no '", "argument.unknown"),
    (r"needs the argument", "argument.missing"),
    (r"there is no file|is not in the file roots|salt://", "file.missing"),
    (r"holds a secret, and the top file", "pillar.claimed"),
    (r"rendered text of|is written twice|^the tag ", "yaml"),
    (r"must (be|hold)|holds a list|declares nothing|is no argument|two functions|twice|no function", "structure"),
    (r"not of type|cannot be", "argument.type"),
)
"""From the beginning of an error's message to the code that a check gives it; `sls` for what is not listed."""


@dataclass(slots=True)
class Finding:
    """One finding. `file` is as a person would open it; `samples` are those that showed it, of `of` tried ones."""

    file: str
    line: int
    column: int
    severity: Severity
    code: str
    message: str
    help: str = ""
    samples: list[str] = field(default_factory=list)
    of: int = 0

    def text(self) -> str:
        """`file:line:col: severity: message [code]`, as compilers and editors write it."""
        some = f" (with {', '.join(self.samples)})" if 0 < len(self.samples) < self.of else ""
        help = f"; {' '.join(self.help.split())}" if self.help else ""
        told = f"{self.message.partition(chr(10))[0].rstrip(':')}{help}{some}"
        return f"{self.file}:{max(1, self.line)}:{max(1, self.column)}: {self.severity}: {told} [{self.code}]"

    def data(self) -> Mapping[str, Data]:
        """The finding for a program."""
        return {
            "file": self.file, "line": max(1, self.line), "column": max(1, self.column), "severity": self.severity,
            "code": self.code, "message": self.message, "help": self.help, "samples": self.samples,
        }  # fmt: skip


class Findings:
    """All findings, each once; the same one of several samples is joined."""

    def __init__(self, samples: int) -> None:
        self._samples = samples
        self._found: dict[tuple[str, int, str, str], Finding] = {}

    def add(self, finding: Finding, sample: str = "") -> None:
        """Take a finding, of one sample or of the text."""
        key = finding.file, finding.line, finding.code, finding.message
        known = self._found.setdefault(key, finding)
        known.of = self._samples
        if SEVERITIES.index(finding.severity) < SEVERITIES.index(known.severity):
            known.severity, known.help = finding.severity, finding.help
        if sample and sample not in known.samples:
            known.samples.append(sample)

    def remove(self, codes: Iterable[str]) -> None:
        """Leave out all of `codes`; `secret` leaves out `secret.key` too."""
        ignored = tuple(codes)
        self._found = {
            key: finding
            for key, finding in self._found.items()
            if not any(finding.code == code or finding.code.startswith(f"{code}.") for code in ignored)
        }

    def all(self) -> list[Finding]:
        """By file and line."""
        return sorted(self._found.values(), key=lambda each: (each.file, each.line, each.column, each.code))

    def count(self, severity: Severity) -> int:
        """How many there are of one severity."""
        return sum(finding.severity == severity for finding in self._found.values())


def code_of(error: SlsError) -> str:
    """The code of what the compiler says is wrong."""
    return next((code for pattern, code in _CODES if re.search(pattern, error.message)), "sls")


def column_of(message: str, line: str) -> int:
    """Where in `line` the first thing stands that `message` quotes; the first character that is no space, if none."""
    for quoted in re.findall(r"'([^']{2,})'", message):
        at = line.find(quoted)
        if at >= 0:
            return at + 1
    return len(line) - len(line.lstrip()) + 1
