"""Where the lab keeps things on this machine, and which outside sources it uses."""

import os
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[3]
"""The product's sources that the hosts will run."""

CLAIMS = Path("/run/stackmaster-lab")
"""One lock file for each run; fixed, because names of namespaces are shared by the whole machine."""

NETWORK = "10.231.0"
"""First three numbers of every lab's addresses. All labs may use the same: each has a switch of its
own that nothing else is plugged into, and a saved cluster can be restored in any later run."""


def cache() -> Path:
    """The folder of images, repositories and running hosts. Must be on a real disk, not on an overlay."""
    return Path(os.environ.get("STACKMASTER_LAB_CACHE", "/var/cache/stackmaster-lab"))


def mirror() -> str:
    """The Debian mirror that images are built from."""
    return os.environ.get("STACKMASTER_LAB_MIRROR", "http://deb.debian.org/debian")
