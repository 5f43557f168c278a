"""The lab itself: hosts boot, can be asked and cut off, keep their disks, and leave nothing behind."""

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab.conftest import MakeLab
from tests.lab.harness import CommandFailed, CommandTimedOut, HostDown, Lab, LabError, cgroup, leftovers
from tests.lab.harness.settings import CHECKOUT

ORPHAN = """
import sys, time
from tests.lab.harness import Lab
lab = Lab(["stray"]).__enter__()
print(lab.folder, flush=True)
time.sleep(600)
"""


LAST_WILL = """
[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/bin/true
ExecStop=/bin/touch /srv/last-will
"""


@pytest.fixture(scope="module")
def lab(make_lab: MakeLab) -> Lab:
    return make_lab(["a", "b"])


@pytest.fixture(autouse=True)
def all_hosts_up(lab: Lab) -> Iterator[None]:
    """Each test begins with both hosts on and connected."""
    lab.boot()
    yield
    for host in lab:
        host.mend_link()


def reaches(lab: Lab, host: str, other: str) -> bool:
    return lab[host].run(["ping", "-c1", "-W1", other], check=False).returncode == 0


def test_a_host_boots_whole_and_bare(lab: Lab) -> None:
    assert lab["a"].run(["systemctl", "is-system-running"]).stdout == "running\n"
    assert lab["a"].run(["hostname"]).stdout == "a\n"
    assert not lab["a"].exists("/usr/bin/ceph")
    assert lab["a"].shell("python3 -I -c 'import zmq, msgpack, cryptography, yaml, dbus_fast'") == ""
    assert lab["a"].pss() < 60_000_000


def test_commands_give_output_and_fail_loudly(lab: Lab) -> None:
    assert lab["a"].shell("echo $((6*7))") == "42\n"
    assert lab["a"].run(["cat"], stdin="given").stdout == "given"
    assert lab["a"].run(["printenv", "WISH"], env={"WISH": "granted"}).stdout == "granted\n"
    with pytest.raises(CommandFailed, match=r"code 3 on a(.|\n)*no luck"):
        lab["a"].shell("echo no luck; exit 3")
    assert lab["a"].run(["false"], check=False).returncode == 1


def test_a_command_that_hangs_is_ended_with_its_children(lab: Lab) -> None:
    with pytest.raises(CommandTimedOut, match="begun"):
        lab["a"].shell("echo begun; sleep 4321", timeout=1)
    assert lab["a"].run(["pgrep", "-f", "sleep 4321"], check=False).stdout == ""


def test_a_command_that_leaves_a_daemon_does_not_block(lab: Lab) -> None:
    began = time.monotonic()
    lab["a"].shell("setsid sleep 30 & echo left")
    assert time.monotonic() - began < 5
    lab["a"].run(["pkill", "sleep"])


def test_files_go_in_and_come_out(lab: Lab) -> None:
    content = bytes(range(256)) * 1000
    lab["a"].put("/srv/deep/er/file name", content, mode=0o640)
    assert lab["a"].get_bytes("/srv/deep/er/file name") == content
    assert lab["a"].run(["stat", "-c%a", "/srv/deep/er/file name"]).stdout == "640\n"
    assert lab["a"].get("/etc/hostname") == "a\n"


def test_the_product_is_there_and_cannot_be_changed_from_a_host(lab: Lab) -> None:
    shown = lab["a"].run(["systemctl", "show", "stackminion", "--property=UnitFileState,Type"]).stdout
    assert sorted(shown.split()) == ["Type=notify", "UnitFileState=disabled"]
    assert lab["a"].run(["stat", "-c%a", "/usr/bin/stackminion"]).stdout == "755\n"
    assert lab["a"].shell("ls /usr/lib/stackmaster").split() == ["minion", "protocol", "states"]
    assert lab["a"].run(["touch", "/usr/lib/stackmaster/x"], check=False).returncode != 0
    assert lab["a"].shell("find /usr/lib/stackmaster/protocol -name '*.pyc'")


def test_hosts_and_the_switch_reach_each_other(lab: Lab) -> None:
    assert reaches(lab, "a", "b")
    assert reaches(lab, "b", "a")
    assert reaches(lab, "a", "master")
    assert lab.address in subprocess.check_output(lab.switch_command(["ip", "-br", "addr"]), text=True)


def test_a_link_is_cut_and_mended(lab: Lab) -> None:
    lab["b"].cut_link()
    assert not reaches(lab, "a", "b")
    assert reaches(lab, "a", "master")
    lab["b"].mend_link()
    assert reaches(lab, "a", "b")


def test_a_cut_link_stays_cut_over_a_reboot(lab: Lab) -> None:
    lab["b"].cut_link()
    lab["b"].reboot()
    assert not reaches(lab, "a", "b")
    lab["b"].mend_link()
    assert reaches(lab, "a", "b")


def test_a_power_cut_is_sudden_and_silent_and_the_disk_keeps(lab: Lab) -> None:
    lab["b"].put("/srv/kept", "still here")
    lab["b"].power_cut()
    assert not lab["b"].running
    assert not reaches(lab, "a", "b")
    with pytest.raises(HostDown):
        lab["b"].run(["true"])
    lab["b"].boot()
    assert lab["b"].get("/srv/kept") == "still here"
    assert reaches(lab, "a", "b")


def test_a_power_off_is_in_good_order(lab: Lab) -> None:
    lab["b"].put("/etc/systemd/system/last.service", LAST_WILL)
    lab["b"].shell("systemctl daemon-reload; systemctl start last")
    lab["b"].power_off()
    lab["b"].boot()
    assert lab["b"].exists("/srv/last-will")


def test_a_reboot_comes_back_without_help(lab: Lab) -> None:
    boots, boot_id = lab["a"].boots, lab["a"].get("/proc/sys/kernel/random/boot_id")
    lab["a"].shell("echo 1 > /run/of-this-boot; sysctl -qw net.ipv4.ip_forward=1")
    lab["a"].reboot()
    assert lab["a"].boots == boots + 1
    assert not lab["a"].exists("/run/of-this-boot")
    assert lab["a"].get("/proc/sys/net/ipv4/ip_forward") == "0\n"
    assert lab["a"].get("/proc/sys/kernel/random/boot_id") != boot_id
    assert reaches(lab, "a", "b")


def test_what_a_host_changed_of_its_identity_stays(lab: Lab) -> None:
    lab["a"].shell("echo 192.0.2.1 elsewhere >> /etc/hosts")
    lab["a"].power_cut()
    lab["a"].boot()
    assert "192.0.2.1 elsewhere" in lab["a"].get("/etc/hosts")


def test_disks_are_saved_and_restored(lab: Lab) -> None:
    lab["a"].shell("echo before > /srv/state; rm /etc/cron.daily/dpkg; truncate -s 1G /srv/sparse")
    with pytest.raises(LabError, match="must be off"):
        lab.snapshot()
    lab.power_off()
    saved = lab.snapshot()
    lab.boot()
    lab["a"].shell("echo after > /srv/state; touch /srv/new")
    lab.each(lambda host: host.power_cut())
    lab.restore(saved)
    lab.boot()
    assert lab["a"].get("/srv/state") == "before\n"
    assert not lab["a"].exists("/srv/new")
    assert not lab["a"].exists("/etc/cron.daily/dpkg")
    assert int(lab["a"].run(["stat", "-c%b", "/srv/sparse"]).stdout) < 2048


def test_packages_come_from_the_offline_repository(lab: Lab) -> None:
    lab["a"].shell("apt-get -q update && apt-get -qy install hello lab-demo=1.0")
    assert lab["a"].run(["hello"]).stdout == "Hello, world!\n"
    assert lab["a"].run(["lab-demo"]).stdout == "1.0\n"
    lab["a"].shell("apt-get -qy install lab-demo")
    assert lab["a"].run(["lab-demo"]).stdout == "2.0\n"


def test_a_signed_repository_needs_its_key() -> None:
    source = "deb [signed-by=/etc/apt/keyrings/lab.gpg] file:/repo lab main\n"
    with Lab(["c"], apt_source=False) as lab:
        host = lab["c"]
        assert host.run(["apt-get", "-qy", "install", "hello"], check=False).returncode != 0
        host.put("/etc/apt/sources.list.d/lab.list", source)
        update = ["apt-get", "-q", "update", "-o", "APT::Update::Error-Mode=any"]
        refused = host.run(update, check=False)
        assert refused.returncode != 0
        assert "NO_PUBKEY" in refused.stdout + refused.stderr
        host.shell("install -Dm644 /repo/lab.gpg /etc/apt/keyrings/lab.gpg")
        host.run(update)
        host.run(["apt-get", "-qy", "install", "hello"])


def test_labs_live_beside_each_other(lab: Lab) -> None:
    with Lab(["a", "z"]) as other:
        assert other.folder != lab.folder
        assert reaches(other, "a", "z")
        assert not reaches(lab, "a", "z")
        folder = other.folder
    assert not folder.exists()
    assert reaches(lab, "a", "b")


def test_what_a_killed_run_left_is_removed(lab: Lab) -> None:
    owner = subprocess.Popen([sys.executable, "-c", ORPHAN], cwd=CHECKOUT, stdout=subprocess.PIPE, text=True)
    assert owner.stdout is not None
    with owner, owner.stdout:
        folder = Path(owner.stdout.readline().strip())
        owner.send_signal(signal.SIGKILL)
    name = folder.name
    assert cgroup.of_run(name), "the killed run's host should still be there"
    assert list(leftovers.namespaces(name))

    assert leftovers.remove_abandoned() == [name]

    assert cgroup.of_run(name) == []
    assert list(leftovers.namespaces(name)) == []
    assert leftovers.mounts_below(folder) == []
    assert not folder.exists()
    assert lab["a"].run(["true"]).returncode == 0, "a living run must not be touched"
