"""How the keys of a repository come to its key ring: from a file, from text, or fetched and proven by hash or id."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

from protocol.errors import ArgumentError, StateError, UnreachableError
from protocol.results import Change, ChangeKind
from states.context import Context
from states.contract import Action
from states.host import files, openpgp

MAX_KEY: Final = 256 * 1024
"""Bytes of a key file: the largest archive key rings are a tenth of it."""
_KEY_ID: Final = re.compile(r"(?:0[xX])?((?:[0-9A-Fa-f]{16}|[0-9A-Fa-f]{40}|[0-9A-Fa-f]{64}))")
_HASH: Final = re.compile(r"(?:sha256[=:])?([0-9a-f]{64})")


@dataclass(frozen=True, slots=True)
class KeyWish:
    """The keys wanted in a key ring. One of `url` (salt://…, a path, https://…) and `text` says where they are;
    `ids` are key ids or fingerprints that must be among them; `sha256` is that of the file behind `url`."""

    url: str = ""
    text: str = ""
    ids: tuple[str, ...] = ()
    sha256: str = ""


def wish(url: str, text: str, ids: Sequence[str], key_hash: str, keyserver: str) -> KeyWish | None:
    """The keys that the arguments of a state ask for; None when they ask for none. Raises ArgumentError."""
    checked = tuple(_checked_id(one) for one in ids)
    found = _HASH.fullmatch(key_hash.strip().lower()) if key_hash else None
    if key_hash and found is None:
        raise ArgumentError(f"{key_hash!r} is not a SHA-256", help="like sha256=… with 64 hex digits")
    if keyserver and not url and not text:
        if len(checked) != 1:
            raise ArgumentError("a key server needs one keyid", help="give the whole fingerprint")
        host = re.sub(r"^[a-z]+://|:\d+$|/$", "", keyserver)
        url = f"https://{host}/pks/lookup?op=get&options=mr&search=0x{checked[0]}"
    if not url and not text:
        return None
    if url.startswith("http://") or (url.startswith("https://") and not (found or checked)):
        raise ArgumentError(f"nothing proves the key from {url}", help="give key_hash: sha256=…, or keyid and https")
    return KeyWish(url, text, checked, found[1] if found else "")


def plan(ctx: Context, wanted: KeyWish, keyring: str) -> Action | None:
    """What brings the keys to the file `keyring`; None when they are there. Raises StateError."""
    place = ctx.path(keyring)
    present = _present(place)
    if wanted.url.startswith("https://"):
        if present is not None and _proven(ctx, wanted, keyring, present):
            return None
        change = Change(_kind(present), keyring, "key", old=_told(present), new=wanted.url)
        return Action(change, partial(_fetch_and_write, ctx, wanted, keyring))
    content = _content(ctx, wanted)
    if content is None:
        return Action(Change(_kind(present), keyring, "key", old=_told(present)), partial(_late, wanted))
    keys = openpgp.binary(content)
    _check_ids(wanted, keys)
    if present == keys:
        return None
    change = Change(_kind(present), keyring, "key", old=_told(present), new=_told(keys))
    return Action(change, partial(_write, place, keys))


def _checked_id(text: str) -> str:
    found = _KEY_ID.fullmatch(text.replace(" ", ""))
    if found is None:
        raise ArgumentError(
            f"{text!r} does not name one key", help="give the fingerprint (40 hex digits), or at least 16 of them"
        )
    return found[1].upper()


def _kind(present: bytes | None) -> ChangeKind:
    return "create" if present is None else "change"


def _present(place: Path) -> bytes | None:
    """The keys in the key ring in binary; None when there is none that can be read as keys."""
    try:
        content = place.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise files.failure(place, error, "read") from error
    try:
        keys = openpgp.binary(content)
    except StateError:
        return b""
    return keys if content == _as_file(place, keys) or (place.suffix == ".asc" and content != keys) else b""


def _as_file(place: Path, keys: bytes) -> bytes:
    """Keys as apt reads them: armoured from a file named .asc, binary from any other."""
    return openpgp.armoured(keys) if place.suffix == ".asc" else keys


def _told(keys: bytes | None) -> str | None:
    return ", ".join(openpgp.fingerprints(keys)[:1]) or "not a key" if keys is not None else None


def _content(ctx: Context, wanted: KeyWish) -> bytes | None:
    """The key as it is at hand; None when a dry run may take it as coming."""
    if wanted.text:
        return wanted.text.encode()
    place = ctx.source(wanted.url) if wanted.url.startswith("salt://") else ctx.path(wanted.url)
    try:
        if place.stat().st_size > MAX_KEY:
            raise StateError(f"{wanted.url} is too large for a key ({MAX_KEY} bytes at most)")
        return place.read_bytes()
    except FileNotFoundError:
        if ctx.assumed():
            return None
        raise StateError(f"there is no key at {wanted.url}", help="declare the file before the repository") from None
    except OSError as error:
        raise files.failure(place, error, "read") from error


def _check_ids(wanted: KeyWish, keys: bytes) -> None:
    for identity in wanted.ids:
        if not openpgp.has_key(keys, identity):
            has = ", ".join(openpgp.fingerprints(keys)[:3])
            raise StateError(f"the key {identity} is not in {wanted.url or 'the text given'}", help=f"it has {has}")


def _proven(ctx: Context, wanted: KeyWish, keyring: str, present: bytes) -> bool:
    """Whether the present keys are those wanted, without fetching: by their ids, else by what was noted of them."""
    if wanted.ids:
        return all(openpgp.has_key(present, identity) for identity in wanted.ids)
    try:
        noted = json.loads(_note(ctx, keyring).read_text())
    except (FileNotFoundError, ValueError):
        return False
    return bool(noted == {"from": wanted.sha256, "to": hashlib.sha256(present).hexdigest()})


def _note(ctx: Context, keyring: str) -> Path:
    """Where it is noted which fetched file the key ring was made of."""
    return ctx.state_dir / "apt-keys" / f"{hashlib.sha256(keyring.encode()).hexdigest()[:32]}.json"


def _fetch_and_write(ctx: Context, wanted: KeyWish, keyring: str) -> None:
    content = _fetch(wanted.url, ctx.deadline)
    digest = hashlib.sha256(content).hexdigest()
    if wanted.sha256 and digest != wanted.sha256:
        raise StateError(f"{wanted.url} has the SHA-256 {digest}, wanted {wanted.sha256}", help="correct key_hash?")
    keys = openpgp.binary(content)
    _check_ids(wanted, keys)
    _write(ctx.path(keyring), keys)
    note = _note(ctx, keyring)
    note.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    text = json.dumps({"from": digest, "to": hashlib.sha256(keys).hexdigest()})
    files.write_atomic(note, text.encode(), mode=0o600)


def _fetch(url: str, deadline: float) -> bytes:
    """What `url` gives, at most MAX_KEY bytes. Raises StateError, UnreachableError."""
    import urllib.error
    import urllib.request  # loads ssl and http: only those who fetch pay for it

    try:
        with urllib.request.urlopen(url, timeout=min(deadline, 60.0)) as answer:
            content: bytes = answer.read(MAX_KEY + 1)
    except (urllib.error.URLError, TimeoutError, ConnectionError) as error:
        reason = getattr(error, "reason", error)
        help = "is it up, and does this host need a proxy for it? a salt:// key needs neither"
        raise UnreachableError(f"cannot fetch {url}: {reason}", help=help) from error
    if len(content) > MAX_KEY:
        raise StateError(f"{url} is too large for a key ({MAX_KEY} bytes at most)")
    return content


def _write(place: Path, keys: bytes) -> None:
    try:
        place.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    except OSError as error:
        raise files.failure(place.parent, error, "make the directory") from error
    files.write_atomic(place, _as_file(place, keys), mode=0o644)


def _late(wanted: KeyWish) -> None:
    raise StateError(f"there is no key at {wanted.url}")
