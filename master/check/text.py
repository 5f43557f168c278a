"""What the text of a tree's files tells without rendering: secrets in plain sight, forms of old, includes."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from master.check.findings import Finding, Severity
from master.compiler.secretwords import SECRET_WORDS, SecretWords

_KEYS: Final[tuple[tuple[str, str], ...]] = (
    (r"(?<![A-Za-z0-9+/])AQ[A-Za-z0-9+/]{36}==", "a cephx key"),
    (r"-----BEGIN [A-Z ]*PRIVATE KEY-----", "a private key"),
    (r"-----BEGIN PGP PRIVATE KEY BLOCK-----", "a private key"),
    (r"(?<![A-Z0-9])AKIA[A-Z0-9]{16}(?![A-Z0-9])", "an access key"),
    (r"(?<![A-Za-z0-9_])gh[pousr]_[A-Za-z0-9]{36}", "an access token"),
    (r"(?<![A-Za-z0-9_])hv[sb]\.[A-Za-z0-9_-]{24}", "a Vault token"),
    (r"\$(?:1|2[aby]|5|6|y)\$[^\s$'\"]{2,}\$[^\s'\"]{10,}", "the hash of a password"),
)
_WORDS: Final = SecretWords(word for word in SECRET_WORDS if word != "key")
_ASSIGNED: Final = re.compile(r"""^\s*(?:-\s+)?['"]?([A-Za-z][\w.-]*)['"]?\s*:\s+(.+?)\s*$""")
_SET: Final = re.compile(r"""\{%-?\s*set\s+(\w+)\s*=\s*(['"])(.*?)\2\s*-?%\}""")
_URL: Final = re.compile(r"\b[a-z][a-z0-9+]*://[^\s:/@{}'\"]+:([^\s:/@{}'\"]{3,})@")
_NO_SECRET: Final = re.compile(
    r"""(?ix) ^(?: ['"]?\s*['"]? | [~|>&*!\[{%<].* | .*[{]{2}.* | .*[{]%.* | true|false|yes|no|on|off|none|null
    | ['"]?(?:salt://|/|https?://|file://|__slot__|sdb://|\$\{?[A-Z_]).* | ['"]?(?:[*!]+|x+)['"]? | \d{1,5} )$"""
)

_OLD: Final[tuple[tuple[str, str, str], ...]] = (
    (r"\.(iteritems|itervalues|iterkeys)\(\)", "py2", "Python 2's .{0}() works here; Python 3 has .{1}()"),
    (r"\.has_key\(", "py2", "Python 2's .has_key(x) works here; write `x in mapping`"),
    (r"\bunicode\(|\bbasestring\b|\bxrange\(", "py2", "Python 3 has no {0}"),
    (r"\{%-?\s*set\s+\w+\s*=\s*0[0-7]+\s*-?%\}", "py2", "a number with a leading zero; quote it"),
    (r"\?env=", "deprecated", "`?env=` is `?saltenv=` since Salt 2015.5"),
    (r"^\s*- (?:env|__env__): (?:base|\{\{)", "deprecated", "`env` is `saltenv` since Salt 2015.5"),
    (r"\bdockerng\.|\bdocker_ng\.", "deprecated", "`dockerng` is `docker` since Salt 2017.7"),
    (r"\bpillar\.get\('[^']+'\s*,\s*'[^']*:[^']*'\)", "suspect", "the default holds a colon: is it a second key?"),
    (r"^\s*- (?:quietly|cumask|stateful_args):", "deprecated", "this argument is gone from Salt"),
    (r"^\s*module\.wait:|^\s*cmd\.wait:|cmd\.wait_script:", "deprecated", "`onchanges` on {0} says the same"),
    (r"^#!\s*(?:py(?:dsl|objects)?|mako|wempy|cheetah|genshi)\b", "renderer", "it runs code, or is not there"),
)  # fmt: skip


def scanned(file: str, text: str, *, states: bool) -> Iterator[Finding]:
    """Everything that the lines of `file` tell; `states` for a file of the state tree, where no secret belongs."""
    for number, line in enumerate(text.split("\n"), 1):
        if len(line) > 5000:
            continue
        if states:
            yield from _secrets(file, number, line)
        if file.endswith((".sls", ".jinja", ".j2", ".yaml", ".yml")) and not line.lstrip().startswith("{#"):
            yield from _old(file, number, line)


def _secrets(file: str, number: int, line: str) -> Iterator[Finding]:
    for pattern, what in _KEYS:
        found = re.search(pattern, line)
        if found is not None:
            help = "put it into pillar, and where it has been seen, replace it"
            yield _finding(file, number, found.start(), "error", "secret.key", f"{what} in plain text", help)
            return
    if line.lstrip().startswith("#"):
        return
    literal = _literal(line)
    if literal is not None:
        name, column = literal
        message = f"{name!r} has a literal value, and looks like a secret"
        yield _finding(file, number, column, "warning", "secret.literal", message, "put it into pillar")


def secret_line(text: str) -> int:
    """The first line of `text` that holds a secret, or a value under a name such as `password`; 0 when none does."""
    for number, line in enumerate(text.split("\n"), 1):
        if len(line) <= 5000 and any(finding.code.startswith("secret") for finding in _secrets("", number, line)):
            return number
    return 0


def _literal(line: str) -> tuple[str, int] | None:
    """The name and column of a literal that looks like a password; the value itself is never told."""
    found = _SET.search(line)
    if found is not None and _WORDS.names_secret(found[1]) and not _NO_SECRET.match(found[3]):
        return found[1], found.start(3)
    found = _ASSIGNED.match(line)
    if found is not None and _WORDS.names_secret(found[1]) and not _NO_SECRET.match(found[2]):
        return found[1], found.start(2)
    found = _URL.search(line)
    return ("the password of an address", found.start(1)) if found is not None else None


def _old(file: str, number: int, line: str) -> Iterator[Finding]:
    for pattern, code, told in _OLD:
        found = re.search(pattern, line)
        if found is not None:
            name = found[1] if found.groups() and found[1] else found[0].strip().rstrip("(:")
            message = told.format(name, name.removeprefix("iter"))
            yield _finding(file, number, found.start(), "hint", code, message)


def included_names(text: str) -> Iterator[tuple[int, str]]:
    """The line and name of each item of an `include:` list at the margin that is written out, rendered or not."""
    inside = False
    for number, line in enumerate(text.split("\n"), 1):
        if re.match(r"include:\s*(#.*)?$", line):
            inside = True
        elif inside:
            item = re.match(r"""\s*-\s+['"]?([\w./*-]+)['"]?\s*(?:#.*)?$""", line)
            if item is not None:
                yield number, item[1]
            elif line.strip() and not line.lstrip().startswith(("{%", "{#", "#", "-")):
                inside = False


def _finding(file: str, line: int, column: int, severity: Severity, code: str, message: str, help: str = "") -> Finding:
    return Finding(file, line, column + 1, severity, code, message, help)
