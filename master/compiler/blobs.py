"""The content that an assignment needs: rendered text kept in memory, files of the roots by digest."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from pathlib import Path

from protocol.assignment import BlobRef, digest
from protocol.errors import SlsError, Where

SMALL = 256 * 1024
"""A file up to this many bytes is carried as bytes; a larger one as its path."""

MAX_TOTAL = 64 * 1024 * 1024
"""Bytes that one compilation may carry in memory."""

_CHUNK = 1024 * 1024
_digests: OrderedDict[tuple[str, int, int, int], str] = OrderedDict()
_KEPT_DIGESTS = 10_000


class Blobs:
    """Gathers the blobs of one compilation by digest."""

    def __init__(self) -> None:
        self.content: dict[str, bytes | Path] = {}
        self._size = 0

    def text(self, text: str) -> BlobRef:
        """Rendered text as a blob."""
        return self._bytes(text.encode("utf-8", "surrogateescape"))

    def file(self, path: Path) -> BlobRef:
        """The content of `path` as a blob. Raises SlsError when it cannot be read."""
        try:
            status = path.stat()
            if status.st_size <= SMALL:
                return self._bytes(path.read_bytes())
            key = (str(path), status.st_size, status.st_mtime_ns, status.st_ino)
            found = _digests.get(key) or _file_digest(path)
        except OSError as error:
            raise SlsError(f"cannot be read: {error.strerror}", where=Where(str(path))) from None
        _digests[key] = found
        if len(_digests) > _KEPT_DIGESTS:
            _digests.popitem(last=False)
        self.content[found] = path
        return BlobRef(found, status.st_size)

    def _bytes(self, content: bytes) -> BlobRef:
        name = digest(content)
        if name not in self.content:
            self._size += len(content)
            if self._size > MAX_TOTAL:
                raise SlsError(f"the rendered files are larger than {MAX_TOTAL} bytes together")
            self.content[name] = content
        return BlobRef(name, len(content))


def _file_digest(path: Path) -> str:
    hasher = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            hasher.update(chunk)
    return hasher.hexdigest()
