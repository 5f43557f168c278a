"""What a Ceph cluster in the lab says of itself, and the wait until it is whole."""

import json
from dataclasses import dataclass

from tests.lab.harness import CommandTimedOut, Host
from tests.lab.harness.machine import wait_until


@dataclass(frozen=True, slots=True)
class Status:
    """The part of `ceph status` that tells whether a cluster is whole."""

    health: str
    checks: tuple[str, ...]
    osds_up: int
    pgs: int
    pgs_clean: int
    mds_active: int

    def is_whole(self, osds: int, mds: int) -> bool:
        """Healthy, with that many OSDs up and MDSs active, and every placement group clean."""
        enough = self.osds_up >= osds and self.mds_active >= mds
        return self.health == "HEALTH_OK" and enough and 0 < self.pgs == self.pgs_clean


def status(monitor: Host, timeout: float = 30) -> Status:
    """Ask a monitor's host."""
    answer = json.loads(monitor.run(["ceph", "status", "--format=json"], timeout=timeout).stdout)
    states = answer["pgmap"].get("pgs_by_state", [])
    return Status(
        health=answer["health"]["status"],
        checks=tuple(answer["health"]["checks"]),
        osds_up=answer["osdmap"]["num_up_osds"],
        pgs=answer["pgmap"]["num_pgs"],
        pgs_clean=sum(state["count"] for state in states if state["state_name"] == "active+clean"),
        mds_active=sum(each["status"] == "up:active" for each in answer["fsmap"].get("by_rank", [])),
    )


def wait_whole(monitor: Host, *, osds: int, mds: int, timeout: float = 120) -> Status:
    """Wait until the cluster is whole, or say what it lacks."""
    seen: list[Status] = []

    def whole() -> bool:
        seen.append(status(monitor))
        return seen[-1].is_whole(osds, mds)

    try:
        wait_until(whole, timeout, "a whole cluster", pause=0.2)
    except CommandTimedOut as error:
        raise CommandTimedOut(f"{error}: {seen[-1] if seen else 'no answer'}") from None
    return seen[-1]
