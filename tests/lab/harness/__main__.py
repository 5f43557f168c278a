"""Builds what the lab needs ahead of the tests: `python -m tests.lab.harness [LAYER…]`."""

import sys
import time

from tests.lab.harness import layer, leftovers, repository, requirements


def main(layers: list[str]) -> int:
    """Build the base image, the repository and the named layers, where they are not in the cache."""
    if reason := requirements.lab_unavailable_reason():
        print(f"lab: cannot run here: {reason}", file=sys.stderr)
        return 1
    began = time.monotonic()
    for removed in leftovers.remove_abandoned():
        print(f"lab: removed what {removed} left behind")
    print(f"lab: packages in {repository.obtain()}")
    for name in (None, *layers):
        print(f"lab: disk of {name or 'bare'} hosts in {layer.lowers(name)[0]}")
    print(f"lab: ready after {time.monotonic() - began:.1f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
