"""The state that gives a file its content, owner and mode."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from dataclasses import replace as with_
from pathlib import Path

from protocol.data import Data
from protocol.errors import ArgumentError, StateError, Where
from protocol.secrets import Secret
from states.context import Context
from states.contract import Plan
from states.host import process
from states.host.attributes import Wanted, wanted
from states.host.content import Bytes, Content, Download, Foretold, LocalFile, of_source
from states.host.desired import Options, plan_file
from states.host.files import Check, parse_mode
from states.registry import state

_LENGTHS = {32: "md5", 40: "sha1", 64: "sha256", 96: "sha384", 128: "sha512"}


@state("file.managed")
def managed(
    ctx: Context,
    name: str,
    *,
    source: str | list[str] | None = None,
    source_hash: str = "",
    source_hash_name: str = "",
    keep_source: bool = True,
    contents: Data = None,
    contents_newline: bool = True,
    contents_delimiter: str = ":",
    allow_empty: bool = True,
    user: str | None = None,
    group: str | None = None,
    mode: str | None = None,
    makedirs: bool = False,
    dir_mode: str | None = None,
    replace: bool = True,
    create: bool = True,
    backup: bool | str = False,
    show_changes: bool = True,
    check_cmd: str | list[str] = "",
    template: str | None = None,
    context: Data = None,
    defaults: Data = None,
    encoding: str = "utf-8",
    encoding_errors: str = "strict",
    follow_symlinks: bool = True,
    skip_verify: bool = False,
    secret: bool = False,
    tmp_dir: str = "",
    tmp_ext: str = "",
) -> Plan:
    """Give the file `name` its content, owner and mode.

    source: where the content is: `salt://…`, an absolute path on the host, `https://…`; of a list the first there is
    source_hash: what the source must hash to: `sha256=…` or a file that lists it; needed for https and http
    source_hash_name: the name to look for in a source_hash file, when it is not the file's own
    contents: the content itself: a text, or a list of lines
    contents_newline: end `contents` with a newline when it has none
    allow_empty: let `contents` be empty
    user, group, mode: owner and permissions, the mode in octal ("0644", or "keep" for that of the source); left as
        they are when not given
    makedirs: make the missing directories above, with the same owner
    dir_mode: the mode of those directories; without it, `mode` with search permission
    replace: False leaves the content of an existing file
    create: False does not make a missing file
    backup: "minion" keeps the old content in the minion's folder
    show_changes: False keeps the content out of the diff
    secret: the content is secret: never shown, and mode 0600 when none is given
    check_cmd: a command (no shell) that gets the path of the new content and must succeed before it is put in place
    encoding, encoding_errors: how the text becomes bytes
    follow_symlinks: when `name` is a link, manage what it leads to; False replaces the link
    template, context, defaults: how the master renders the source
    keep_source, contents_delimiter, skip_verify, tmp_dir, tmp_ext: taken for compatibility, without effect
    """
    options = Options(
        show=show_changes,
        secret=secret or _has_secret(contents),
        backup=keeps(backup),
        check=_check(ctx, check_cmd),
        replace=replace,
        create=create,
        makedirs=makedirs,
        follow=follow_symlinks,
    )
    content = _content(ctx, name, source, contents, source_hash, source_hash_name, contents_newline, allow_empty)
    warnings: tuple[str, ...] = ()
    if mode == "keep":
        mode, warnings = _mode_of(content)
    if content is not None and encoding.lower().replace("_", "-") not in ("utf-8", "utf8"):
        content = _encoded(content, encoding, encoding_errors)
    want = wanted(ctx, user, group, mode)
    options = with_(options, folders=folder_attributes(want, dir_mode))
    plan = plan_file(ctx, name, content, want, options)
    return with_(plan, warnings=(*plan.warnings, *warnings))


def keeps(backup: bool | str) -> bool:
    """Whether a `backup` argument asks for a backup: True, "minion", "both", or a suffix like ".bak"."""
    return backup not in (False, "", "master", "False", "false")


def folder_attributes(want: Wanted, dir_mode: str | None) -> Wanted:
    """Owner and mode of directories made on the way: `dir_mode`, or the file's mode searchable by who may read it."""
    if dir_mode is not None:
        return want.with_mode(parse_mode(dir_mode))
    if want.mode is None:
        return want
    return want.with_mode((want.mode & 0o777) | ((want.mode & 0o444) >> 2))


def _content(
    ctx: Context,
    name: str,
    source: str | Sequence[str] | None,
    contents: Data,
    source_hash: str,
    source_hash_name: str,
    newline: bool,
    allow_empty: bool,
) -> Content | None:
    sources = [source] if isinstance(source, str) else [str(each) for each in source or []]
    if sources and contents is not None:
        raise ArgumentError("source and contents exclude each other", where=Where(name), help="give one of them")
    if contents is not None:
        return Bytes(_bytes(name, contents, newline, allow_empty))
    if not sources:
        return None
    for each in sources:
        found = _source(ctx, name, each, source_hash, source_hash_name)
        if found is not None:
            return found
    if ctx.assumed():
        return Foretold(sources[0])
    raise StateError(f"no source is there: {', '.join(sources)}", where=Where(name), help="correct `source`")


def _source(ctx: Context, name: str, source: str, source_hash: str, hash_name: str) -> Content | None:
    """The content of one source; None when it is not there. Raises ArgumentError, StateError."""
    if source.startswith("salt://"):
        if source not in ctx.sources:
            return None
        found = of_source(ctx, source)
        if source_hash:
            _verify(ctx, found, source, _digest(ctx, source_hash, hash_name or source, name))
        return found
    if source.startswith(("http://", "https://")):
        if not source_hash:
            raise ArgumentError(
                f"{source} needs source_hash", where=Where(name), help="give it as sha256=<64 hex digits>"
            )
        algorithm, hexdigest = _digest(ctx, source_hash, hash_name or source, name)
        return Download(source, algorithm, hexdigest, ctx.state_dir / "downloads", ctx.deadline)
    local = source.removeprefix("file://")
    if not local.startswith("/"):
        raise ArgumentError(
            f"{source} is no source", where=Where(name), help="use salt://…, an absolute path, or https://…"
        )
    path = ctx.path(local)
    if not path.exists():
        return None
    if not path.is_file():
        raise StateError(f"the source {local} is not a regular file", where=Where(name))
    content = LocalFile(path)
    if source_hash:
        _verify(ctx, content, source, _digest(ctx, source_hash, hash_name or source, name))
    return content


def _digest(ctx: Context, source_hash: str, wanted_name: str, name: str) -> tuple[str, str]:
    """Algorithm and hex digest of `algo=hex`, a bare hex digest, or a file (`salt://…`, absolute) that lists it."""
    if source_hash.startswith(("http://", "https://", "ftp://")):
        raise ArgumentError(
            "source_hash must not come from the network, like the content it is to prove",
            where=Where(name),
            help="give the digest itself: sha256=<64 hex digits>",
        )
    text = source_hash
    if source_hash.startswith(("salt://", "/")):
        listing = ctx.source(source_hash) if source_hash.startswith("salt://") else ctx.path(source_hash)
        try:
            text = _line_for(listing.read_text("utf-8", "replace"), wanted_name.rsplit("/", 1)[-1])
        except OSError as error:
            raise StateError(f"{source_hash} cannot be read: {error.strerror}", where=Where(name)) from error
    match = re.search(r"(?:^|\W)(?:(md5|sha1|sha224|sha256|sha384|sha512)\s*[=:]\s*)?([0-9a-fA-F]{32,128})\b", text)
    algorithm = (match.group(1) or _LENGTHS.get(len(match.group(2)), "")) if match else ""
    if match is None or _LENGTHS.get(len(match.group(2))) != algorithm:
        raise ArgumentError(
            f"{source_hash[:140]!r} is no source_hash", where=Where(name), help="give sha256=<64 hex digits>"
        )
    return algorithm, match.group(2).lower()


def _line_for(listing: str, wanted_name: str) -> str:
    """The line of a digest listing (sha256sum's format, or only a digest) that speaks of `wanted_name`."""
    for line in listing.splitlines():
        if wanted_name in (part.lstrip("*").rsplit("/", 1)[-1] for part in line.split()):
            return line
    lines = [line for line in listing.splitlines() if line.strip()]
    return lines[0] if len(lines) == 1 else ""


def _verify(ctx: Context, content: LocalFile, source: str, expected: tuple[str, str]) -> None:
    algorithm, hexdigest = expected
    if not LocalFile(content.source, algorithm, hexdigest).same_as(content.source):
        raise StateError(f"{source} does not have the {algorithm} {hexdigest}", help="correct source_hash or source")


def _bytes(name: str, contents: Data, newline: bool, allow_empty: bool) -> bytes:
    if isinstance(contents, bytes):
        return contents
    if isinstance(contents, list | tuple):
        text = "\n".join(_text(name, each) for each in contents)
    else:
        text = _text(name, contents)
    if not text and not allow_empty:
        raise ArgumentError("contents is empty", where=Where(name), help="give some, or set allow_empty: True")
    if newline and text and not text.endswith("\n"):
        text += "\n"
    return text.encode("utf-8", "surrogateescape")


def _text(name: str, value: Data) -> str:
    if isinstance(value, Secret):
        return value.reveal()
    if isinstance(value, str | int | float):
        return str(value)
    if isinstance(value, bytes):
        return value.decode("utf-8", "surrogateescape")
    raise ArgumentError(
        f"contents must be text or a list of lines, not {type(value).__name__}",
        where=Where(name),
        help="turn it into text, for example with the filter yaml or json",
    )


def _has_secret(contents: Data) -> bool:
    if isinstance(contents, list | tuple):
        return any(isinstance(each, Secret) for each in contents)
    return isinstance(contents, Secret)


def _mode_of(content: Content | None) -> tuple[str | None, tuple[str, ...]]:
    if isinstance(content, LocalFile) and not content.hexdigest:
        return f"{content.source.stat().st_mode & 0o7777:04o}", ()
    return None, ("mode 'keep' has no effect on content from the master: give the mode in octal",)


def _encoded(content: Content, encoding: str, errors: str) -> Content:
    if isinstance(content, Foretold):
        return content
    text = content.text()
    if text is None:
        raise ArgumentError(f"only short text can be encoded as {encoding}", help="leave `encoding` out")
    try:
        return Bytes(text.decode().encode(encoding, errors))
    except (LookupError, UnicodeError) as error:
        raise ArgumentError(f"the content cannot be encoded as {encoding}: {error}") from error


def _check(ctx: Context, check_cmd: str | Sequence[str]) -> Check | None:
    commands = [check_cmd] if isinstance(check_cmd, str) else [str(each) for each in check_cmd]
    try:
        argvs = [shlex.split(command) for command in commands if command]
    except ValueError as error:
        raise ArgumentError(f"check_cmd cannot be read: {error}", help="close its quotes") from error
    if not argvs:
        return None

    def check(new: Path) -> None:
        for argv in argvs:
            command = argv[0] if "/" in argv[0] else process.require(ctx, argv[0])
            completed = process.run(ctx, [command, *argv[1:], str(new)], accept=None)
            if completed.status != 0:
                what = f"the new content was refused: {shlex.join(argv)}"
                raise process.failure(ctx, completed, what=what, help="the old file is as it was")

    return check
