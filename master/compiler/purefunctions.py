"""Functions for templates that need their arguments only: merging, digests, paths, versions, text."""

from __future__ import annotations

import base64
import json
import posixpath
from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from typing import Any, Final

from master.compiler.filters.hashing import digest, hmac_compute, hmac_signature
from master.compiler.filters.sequences import flatten
from master.compiler.filters.serial import to_json, to_python, to_yaml
from master.compiler.filters.text import base64_decode, base64_encode, to_bytes
from master.compiler.merge import merged, update
from master.compiler.yaml import load_plain
from protocol.errors import SlsError
from states.host import debversion

_STRATEGIES: Final = ("smart", "aggregate", "recurse", "overwrite", "list")


def defaults_merge(
    dest: dict[Any, Any] | None,
    upd: Mapping[Any, Any] | None,
    merge_lists: bool = False,
    in_place: bool = True,
    convert_none: bool = True,
) -> dict[Any, Any]:
    """`upd` merged into `dest`: into itself, or with `in_place` False into a copy."""
    target = dest if in_place else deepcopy(dest)
    if target is None and convert_none:
        target = {}
    if target is None:
        raise SlsError("defaults.merge: there is nothing to merge into")
    return update(target, upd or {}, lists=merge_lists)


def defaults_update(
    dest: dict[Any, Any], defaults: Mapping[Any, Any], merge_lists: bool = True, in_place: bool = True, **_more: Any
) -> dict[Any, Any]:
    """Every mapping in `dest` on top of `defaults`: Salt's way to give several things the same defaults."""
    target = dest if in_place else deepcopy(dest)
    for key, value in target.items():
        target[key] = merged(deepcopy(defaults), value or {}, lists=merge_lists)
    return target


def slsutil_merge(
    obj_a: Any, obj_b: Any, strategy: str = "smart", renderer: str = "yaml", merge_lists: bool = False
) -> Any:
    """`obj_b` on a copy of `obj_a`; strategy `smart`, `recurse`, `aggregate`, `overwrite` or `list`."""
    if strategy not in _STRATEGIES:
        help = "use " + ", ".join(_STRATEGIES)
        raise SlsError(f"slsutil.merge: the strategy {strategy!r} is not known", help=help)
    if strategy == "overwrite":
        return {**obj_a, **obj_b}
    if strategy == "list":
        return {key: [obj_a[key], obj_b[key]] if key in obj_b else obj_a[key] for key in obj_a}
    return merged(deepcopy(obj_a), deepcopy(obj_b), lists=merge_lists)


def slsutil_merge_all(
    lst: Sequence[Any], strategy: str = "smart", renderer: str = "yaml", merge_lists: bool = False
) -> Any:
    """All of `lst`, each on those before it."""
    whole: Any = {}
    for item in lst:
        whole = slsutil_merge(whole, item, strategy, renderer, merge_lists)
    return whole


def serialize(serializer: str, obj: Any, **options: Any) -> str:
    """`obj` as text by the serializer json, yaml or python."""
    if serializer == "json":
        return json.dumps(obj, **options)
    if serializer == "yaml":
        return to_yaml(obj, bool(options.get("default_flow_style", True))) + "\n"
    if serializer == "python":
        return to_python(obj)
    raise SlsError(f"slsutil.serialize: {serializer!r} is not known", help="use json, yaml or python")


def deserialize(serializer: str, stream_or_string: str, **_options: Any) -> Any:
    """The data in text by the serializer json or yaml."""
    if serializer == "json":
        return json.loads(stream_or_string)
    if serializer == "yaml":
        return load_plain(stream_or_string, "the text given to slsutil.deserialize")
    raise SlsError(f"slsutil.deserialize: {serializer!r} is not known", help="use json or yaml")


def banner(
    width: int = 72,
    commentchar: str = "#",
    borderchar: str = "#",
    blockstart: str | None = None,
    blockend: str | None = None,
    title: str | None = None,
    text: str | None = None,
    newline: bool = True,
) -> str:
    """A comment block that says that the file is managed, as Salt draws it."""
    title = title or "THIS FILE IS MANAGED BY SALT - DO NOT EDIT"
    text = text or "The contents of this file are managed by Salt. Any changes to this file may be overwritten."
    edge = f"{commentchar} {borderchar * (width - len(commentchar) - 1)}".rstrip()
    edge = commentchar.ljust(width, borderchar) if commentchar == borderchar else edge
    lines = [edge, f"{commentchar} {title.center(width - 2 * len(commentchar) - 2)} {commentchar}", edge]
    lines += [f"{commentchar} {line}" for line in text.splitlines()] + [edge]
    block = [*([blockstart] if blockstart else []), *lines, *([blockend] if blockend else [])]
    return "\n".join(block) + ("\n" if newline else "")


def boolstr(value: Any, true: Any = "true", false: Any = "false") -> Any:
    """`true` when `value` is a true one (1, yes, "true"), else `false`."""
    try:
        return true if float(value) > 0 else false
    except (TypeError, ValueError):
        return true if (value.lower() == "true" if isinstance(value, str) else value) else false


def _encoded(value: str, encoder: str = "base64") -> str:
    made = {"base64": base64.b64encode, "base32": base64.b32encode, "base16": base64.b16encode}.get(encoder)
    if made is None:
        raise SlsError(f"random.str_encode: {encoder!r} is not known", help="use base64, base32 or base16")
    return made(to_bytes(value)).decode("ascii")


PURE: Final[Mapping[str, Callable[..., Any]]] = {
    "defaults.merge": defaults_merge,
    "defaults.update": defaults_update,
    "defaults.deepcopy": deepcopy,
    "slsutil.merge": slsutil_merge,
    "slsutil.merge_all": slsutil_merge_all,
    "slsutil.update": lambda dest, upd, recursive_update=True, merge_lists=False: update(dest, upd, lists=merge_lists),
    "slsutil.boolstr": boolstr,
    "slsutil.serialize": serialize,
    "slsutil.deserialize": deserialize,
    "slsutil.banner": banner,
    "file.join": posixpath.join,
    "file.dirname": posixpath.dirname,
    "file.basename": posixpath.basename,
    "hashutil.base64_b64encode": base64_encode,
    "hashutil.base64_b64decode": base64_decode,
    "hashutil.base64_encodestring": lambda text: base64.encodebytes(to_bytes(text)).decode("ascii"),
    "hashutil.base64_decodestring": base64_decode,
    "hashutil.digest": digest,
    "hashutil.md5_digest": digest,
    "hashutil.sha256_digest": lambda text: digest(text, "sha256"),
    "hashutil.sha512_digest": lambda text: digest(text, "sha512"),
    "hashutil.hmac_compute": hmac_compute,
    "hashutil.hmac_signature": hmac_signature,
    "random.hash": lambda value, algorithm="sha512": digest(value, algorithm),
    "random.str_encode": _encoded,
    "json.dumps": to_json,
    "list.flatten": flatten,
    "pkg.version_cmp": lambda pkg1, pkg2, ignore_epoch=False: debversion.compare(str(pkg1), str(pkg2)),
    "test.echo": lambda text: text,
    "test.ping": lambda: True,
    "test.true": lambda: True,
    "test.false": lambda: False,
    "test.arg": lambda *args, **kwargs: {"args": args, "kwargs": kwargs},
    "test.kwarg": lambda **kwargs: kwargs,
}
"""By the name that a template uses."""
