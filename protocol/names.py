"""Ids and event tags: what they may look like. Names are not paths (CVE-2017-12791 and ten after it)."""

from __future__ import annotations

import re
import secrets
from typing import NewType

from protocol.errors import InputError

MinionId = NewType("MinionId", str)
JobId = NewType("JobId", str)
RunId = NewType("RunId", str)

_MINION_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,252}")
_JOB_ID = re.compile(r"[0-9]{20}-[0-9a-f]{6}")
_TAG = re.compile(r"[A-Za-z0-9._-]+(?:/[A-Za-z0-9._:@+-]+){0,15}")


def minion_id(text: str) -> MinionId:
    """Check a minion id: letters, digits, dot, dash, underscore; at most 253; no `..`. Raises InputError."""
    if _MINION_ID.fullmatch(text) is None or ".." in text:
        raise InputError(
            f"{text[:80]!r} is not a minion id",
            help="use letters, digits, '.', '-' and '_', beginning with a letter or digit, without '..'",
        )
    return MinionId(text)


def new_job_id(now: float) -> JobId:
    """A job id that sorts by time: UTC microseconds since the epoch in 20 digits, then 6 random hex digits."""
    return JobId(f"{int(now * 1_000_000):020d}-{secrets.token_hex(3)}")


def job_id(text: str) -> JobId:
    """Check a job id. Raises InputError."""
    if _JOB_ID.fullmatch(text) is None:
        raise InputError(f"{text[:80]!r} is not a job id", help="`stackmaster jobs ls` lists them")
    return JobId(text)


def event_tag(text: str) -> str:
    """Check an event tag: `part/part/…`, at most 16 parts (none of them only dots), 512 characters.

    Raises InputError.
    """
    if len(text) > 512 or _TAG.fullmatch(text) is None or not all(part.strip(".") for part in text.split("/")):
        raise InputError(f"{text[:80]!r} is not an event tag")
    return text
