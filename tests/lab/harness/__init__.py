"""The lab: booted Debian hosts in containers, on a private network, for the length of a test."""

from tests.lab.harness.errors import CommandFailed, CommandTimedOut, HostDown, LabError, LabUnavailable
from tests.lab.harness.host import Host
from tests.lab.harness.lab import Lab, Snapshot
from tests.lab.harness.requirements import lab_unavailable_reason

__all__ = [
    "CommandFailed",
    "CommandTimedOut",
    "Host",
    "HostDown",
    "Lab",
    "LabError",
    "LabUnavailable",
    "Snapshot",
    "lab_unavailable_reason",
]
