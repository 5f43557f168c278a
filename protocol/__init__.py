"""What crosses the wire, and the pure logic that both sides share."""

__version__ = "0.1.0"

WIRE_VERSION = 1
"""The one wire version spoken; a peer with a lower one is refused (no downgrade)."""
