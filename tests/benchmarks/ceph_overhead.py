"""`stackmaster run ceph.deploy` against the plain shell commands that do the same, on like hosts, by turns."""

from __future__ import annotations

import time

from tests.lab.ceph_site import ONE_MONITOR_HOSTS, one_monitor_pillar
from tests.lab.harness import Lab, lab_unavailable_reason
from tests.lab.shell_ceph import deploy_by_shell
from tests.lab.site import LabSite


def by_product() -> float:
    """Seconds from the command to its end, on bare hosts."""
    with Lab(ONE_MONITOR_HOSTS, apt_source=False) as lab, LabSite(lab, one_monitor_pillar(lab)) as site:
        began = time.monotonic()
        done = site.run("run", "ceph.deploy")
        took = time.monotonic() - began
        if done.returncode != 0:
            raise RuntimeError(f"the run failed:\n{done.stdout}{done.stderr}")
        return took


def by_shell() -> float:
    """Seconds from the first command to HEALTH_OK, on bare hosts."""
    with Lab(ONE_MONITOR_HOSTS, apt_source=False) as lab:
        return deploy_by_shell(lab)["total"]


def main(rounds: int = 2) -> None:
    """Print the seconds of each and their ratio."""
    reason = lab_unavailable_reason()
    if reason is not None:
        print(f"ceph overhead: not measured: {reason}")
        return
    shell: list[float] = []
    product: list[float] = []
    for _ in range(rounds):
        shell.append(by_shell())
        product.append(by_product())
        print(f"plain shell {shell[-1]:.1f} s, stackmaster run ceph.deploy {product[-1]:.1f} s", flush=True)
    print(f"ratio {min(product) / min(shell):.2f} (best of {rounds} each); budget 1.5")
