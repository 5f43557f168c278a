"""Every bound of the wire and the tree, with its reason."""

from __future__ import annotations

MAX_MESSAGE = 4 * 1024 * 1024
"""Bytes of one frame between an accepted minion and the master: a blob chunk (1 MiB) or a large batch of results."""

MAX_ENROL_MESSAGE = 4096
"""Bytes of one frame from a stranger: two keys, an id and a token."""

MAX_DEPTH = 32
"""Nesting of containers in one message: deeper data is an attack or a mistake."""

MAX_ITEMS = 100_000
"""Elements of one array or map."""

MAX_CONTAINERS = 100_000
"""Arrays and maps in one message: empty ones cost a byte on the wire and a hundred in memory."""

MAX_STRING = MAX_MESSAGE
"""Bytes of one string; the frame is the tighter bound in practice."""

BLOB_CHUNK = 1024 * 1024
"""Bytes of a blob sent at once."""

INLINE_ASSIGNMENT = 64 * 1024
"""An assignment up to this many bytes travels inside its command; a larger one is fetched by digest."""

MAX_OUTPUT = 1024 * 1024
"""Bytes of output kept from one command run by a state or function; the rest is counted, not kept."""

UNREAD = 32
"""Messages of one peer that the master's sockets hold unread; as long as the largest frames they are 128 MiB."""

SEND_QUEUE = 1000
"""Messages queued towards one peer (ZeroMQ high-water mark)."""
