"""Packages, repositories, services, unit files and mounts on booted hosts: real apt, dpkg, D-Bus and mount units.

Each state is looked at in a dry run, applied, and looked at again: what was foretold is what was done, and then nothing
is left to do.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.lab.conftest import MakeLab
from tests.lab.harness import Host, Lab

DRIVER = '''
"""Applies one state, or calls one function, as the minion does; JSON in and out."""
import json, sys, time
sys.path.insert(0, "/usr/lib/stackmaster")
from protocol.assignment import Assignment, Chunk
from states import engine, registry
from states.context import Context

order = json.load(sys.stdin)
ctx = Context("lab", {}, deadline=120.0)
family, _, fun = order["function"].partition(".")
began = time.monotonic()
if order["kind"] == "function":
    found = registry.find_function(order["function"])
    args = registry.by_name(order["function"], found.signature, order["args"], {})
    print(json.dumps({"returned": found.call(ctx, **registry.check_arguments("x", found.signature, args))}))
elif order["kind"] == "watch":
    plan = registry.find_state(order["function"]).watch(ctx, order["name"], **order["args"])
    print(json.dumps({"details": [action.perform() for action in plan.actions]}))
else:
    chunk = Chunk(family, fun, "lab", order["name"], "lab", order["args"])
    (result,) = engine.apply(Assignment("lab", (chunk,)), ctx, lambda _: None, test=order["kind"] == "test")
    changes = [[c.kind, c.subject, c.aspect, c.old, c.new, c.details] for c in result.changes]
    children = [line for line in open("/proc/self/status") if line.startswith("Threads")]
    answer = {"result": result.result, "comment": result.comment, "changes": changes, "warnings": result.warnings}
    print(json.dumps({**answer, "seconds": time.monotonic() - began}))
'''
UNIT = "[Unit]\nDescription=%i\n[Service]\nType={type}\nExecStart={command}\n[Install]\nWantedBy=multi-user.target\n"


@pytest.fixture(scope="module")
def lab(make_lab: MakeLab) -> Lab:
    lab = make_lab(["a", "b"])
    for host in lab:
        host.put("/root/drive.py", DRIVER)
    return lab


@pytest.fixture(scope="module")
def host(lab: Lab) -> Host:
    return lab["a"]


@pytest.fixture
def no_bus(lab: Lab) -> Iterator[Host]:
    """A host whose system bus is away for the length of a test."""
    host = lab["b"]
    host.shell("systemctl stop dbus.socket dbus.service; rm -f /run/dbus/system_bus_socket")
    yield host
    host.shell("systemctl start dbus.socket dbus.service")


def drive(host: Host, kind: str, function: str, name: str = "", args: Any = None, check: bool = True) -> dict[str, Any]:
    order = {"kind": kind, "function": function, "name": name, "args": {} if args is None else args}
    done = host.run(["python3", "-I", "/root/drive.py"], stdin=json.dumps(order), timeout=180, check=False)
    assert done.returncode == 0, done.stderr
    answer: dict[str, Any] = json.loads(done.stdout)
    if check and "result" in answer:
        assert answer["result"] is not False, answer
    return answer


def ask(host: Host, function: str, *args: Any) -> Any:
    return drive(host, "function", function, args=list(args))["returned"]


def told(answer: dict[str, Any]) -> list[list[Any]]:
    return [change[:5] for change in answer["changes"]]


def settle(host: Host, function: str, name: str, /, **args: Any) -> dict[str, Any]:
    """Foretell, apply, and make sure that the two agree and that nothing is left."""
    foretold = drive(host, "test", function, name, args)
    assert foretold["result"] is None, foretold
    applied = drive(host, "apply", function, name, args)
    assert applied["result"] is True
    assert [change[:3] for change in foretold["changes"]] == [change[:3] for change in applied["changes"]]
    unchanged(host, function, name, **args)
    return applied


def unchanged(host: Host, function: str, name: str, /, **args: Any) -> dict[str, Any]:
    again = drive(host, "apply", function, name, args)
    assert (again["result"], again["changes"]) == (True, []), again
    return again


def refused(host: Host, function: str, name: str, /, **args: Any) -> str:
    answer = drive(host, "apply", function, name, args, check=False)
    assert answer["result"] is False, answer
    return str(answer["comment"])


# --- packages -------------------------------------------------------------------------------------------------


def test_packages_are_installed_held_upgraded_and_purged(host: Host) -> None:
    assert "no package lab-dem" in refused(host, "pkg.installed", "lab-dem")
    assert "close names: lab-demo" in refused(host, "pkg.installed", "lab-dem")
    applied = settle(host, "pkg.installed", "x", pkgs=["hello", {"lab-demo": "1.*"}], hold=True)
    assert ["create", "package lab-demo", "version", None, "1.0"] in told(applied)
    assert host.run(["lab-demo"]).stdout == "1.0\n"
    assert "is held at 1.0" in refused(host, "pkg.installed", "lab-demo", version="2.0")
    assert "lab-demo is held at 1.0; 2.0 is the newest" in unchanged(host, "pkg.latest", "lab-demo")["warnings"]
    applied = settle(host, "pkg.installed", "lab-demo", version="2.0", hold=False)
    assert told(applied) == [
        ["change", "package lab-demo", "hold", True, False],
        ["change", "package lab-demo", "version", "1.0", "2.0"],
    ]
    assert "newer than 1.0" in refused(host, "pkg.installed", "lab-demo", version="1.0")
    settle(host, "pkg.installed", "lab-demo", version="1.0", allow_downgrade=True)
    applied = settle(host, "pkg.latest", "lab-demo")
    assert told(applied) == [["change", "package lab-demo", "version", "1.0", "2.0"]]
    settle(host, "pkg.removed", "lab-demo")
    assert host.exists("/etc/lab-demo.conf")
    assert "hello is held" in refused(host, "pkg.purged", "hello")
    settle(host, "pkg.unheld", "hello")
    applied = settle(host, "pkg.purged", "x", pkgs=["lab-demo", "hello", "never-there"])
    assert {change[1] for change in applied["changes"]} == {"package lab-demo", "package hello"}
    assert not host.exists("/etc/lab-demo.conf")


def test_a_changed_configuration_file_stays(host: Host) -> None:
    settle(host, "pkg.installed", "lab-demo", version="1.0")
    host.put("/etc/lab-demo.conf", "mine\n")
    settle(host, "pkg.latest", "lab-demo")
    assert host.get("/etc/lab-demo.conf") == "mine\n"
    settle(host, "pkg.purged", "lab-demo")


def test_dependencies_are_told_and_virtual_packages_count(host: Host) -> None:
    applied = settle(host, "pkg.installed", "nginx-light")
    assert [change[1] for change in told(applied)] == ["package nginx-light"]
    assert ask(host, "pkg.version", "nginx-common")
    unchanged(host, "pkg.installed", "httpd")
    assert ask(host, "service.status", "nginx") is True
    settle(host, "pkg.purged", "nginx-light")


def test_an_interrupted_dpkg_is_repaired(host: Host) -> None:
    host.shell("cd /tmp; apt-get -qy download lab-demo=1.0; dpkg --unpack lab-demo_1.0_all.deb; rm lab-demo_*.deb")
    applied = settle(host, "pkg.installed", "lab-demo")
    assert told(applied) == [["change", "package lab-demo", "state", "unpacked", "installed"]]
    host.shell("touch /var/lib/dpkg/updates/0001")
    applied = settle(host, "pkg.purged", "lab-demo")
    assert told(applied)[0] == ["change", "dpkg", "state", "interrupted", "configured"]


def test_a_package_lock_is_waited_for(host: Host) -> None:
    lock = "import fcntl, sys; f = open('/var/lib/dpkg/lock-frontend', 'w'); fcntl.lockf(f, 2); print(1, flush=True)"
    order = json.dumps({"kind": "apply", "function": "pkg.installed", "name": "hello", "args": {}})
    with (
        host.start(["python3", "-c", f"{lock}; sys.stdin.read()"]) as holder,
        host.start(["python3", "-I", "/root/drive.py"]) as waiting,
    ):
        assert holder.stdout is not None
        assert holder.stdout.readline() == "1\n"
        assert waiting.stdin is not None
        waiting.stdin.write(order)
        waiting.stdin.close()
        until = time.monotonic() + 60
        while "install hello" not in host.run(["ps", "ax", "-o", "args"]).stdout:
            assert time.monotonic() < until, "apt-get never began to wait"
        assert waiting.poll() is None
        holder.communicate("", 30)
        assert waiting.stdout is not None
        assert json.loads(waiting.stdout.read())["result"] is True
    settle(host, "pkg.purged", "hello")


def test_a_package_file_is_installed(host: Host) -> None:
    host.shell("cd /srv; apt-get -qy download lab-demo=1.0; mv lab-demo_*.deb demo.bin")
    settle(host, "pkg.installed", "x", sources=[{"lab-demo": "/srv/demo.bin"}])
    assert host.run(["lab-demo"]).stdout == "1.0\n"
    settle(host, "pkg.purged", "lab-demo")


def test_what_is_there_is_seen_fast(host: Host) -> None:
    assert unchanged(host, "pkg.installed", "systemd")["seconds"] < 2
    assert ask(host, "pkg.version", "systemd").startswith("252.")
    assert len(ask(host, "pkg.list")) > 50


# --- repositories ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("format", ["oneline", "deb822"])
def test_a_signed_repository(host: Host, format: str) -> None:
    host.shell("mv /etc/apt/sources.list /root/; apt-get -q update; rm -rf /var/lib/apt/lists/*")
    try:
        entry = "deb file:/repo lab main"
        wrong = drive(host, "apply", "pkgrepo.managed", entry, {"format": format}, check=False)
        assert wrong["result"] is False
        assert "NO_PUBKEY" in wrong["comment"] or "not signed" in wrong["comment"]
        assert len(wrong["changes"]) == 1
        suffix = "list" if format == "oneline" else "sources"
        ring = f"/etc/apt/keyrings/lab-{format}.gpg"
        settle(
            host, "pkgrepo.managed", entry, format=format, humanname="repo-lab", key_url="/repo/lab.asc", signedby=ring
        )
        assert host.get_bytes(ring) == host.get_bytes("/repo/lab.gpg")
        assert host.exists(f"/etc/apt/sources.list.d/repo-lab.{suffix}")
        settle(host, "pkg.installed", "lab-demo")
        settle(host, "pkg.purged", "lab-demo")
        host.shell("rm -rf /var/lib/apt/lists/*")
        args = {"format": format, "humanname": "repo-lab", "key_url": "/repo/lab.asc", "signedby": ring}
        applied = settle(host, "pkgrepo.managed", entry, **args)
        assert [change[2] for change in applied["changes"]] == ["package lists"]
        settle(host, "pkgrepo.absent", entry)
        assert not host.exists(f"/etc/apt/sources.list.d/repo-lab.{suffix}")
    finally:
        host.shell("mv /root/sources.list /etc/apt/; rm -f /etc/apt/sources.list.d/*; apt-get -q update")


def test_a_new_repository_makes_its_packages_known(host: Host) -> None:
    host.shell("mv /etc/apt/sources.list /root/; rm -rf /var/lib/apt/lists/*")
    try:
        assert "no package lab-demo" in refused(host, "pkg.installed", "lab-demo")
        settle(host, "pkgrepo.managed", "deb [trusted=yes] file:/repo ./", refresh=False)
        applied = drive(host, "apply", "pkg.installed", "lab-demo")
        assert told(applied) == [["create", "package lab-demo", "version", None, "2.0"]]
        settle(host, "pkg.purged", "lab-demo")
        settle(host, "pkgrepo.managed", "deb [trusted=yes] file:/repo ./", clean_file=True, comps=[], disabled=True)
    finally:
        host.shell("mv /root/sources.list /etc/apt/; rm -f /etc/apt/sources.list.d/*; apt-get -q update")


# --- services and unit files ----------------------------------------------------------------------------------


def unit(command: str, type: str = "simple") -> str:
    return UNIT.format(command=command, type=type)


@pytest.mark.parametrize("bus", [True, False], ids=["bus", "no-bus"])
def test_the_life_of_a_service(request: pytest.FixtureRequest, lab: Lab, bus: bool) -> None:
    host: Host = lab["a"] if bus else request.getfixturevalue("no_bus")
    contents = unit("/bin/sleep 4000")
    assert "no unit lab-nap@1.service" in refused(host, "service.running", "lab-nap@1")
    settle(host, "systemd_unit.present", "lab-nap@", contents=contents)
    applied = settle(host, "service.running", "lab-nap@1", enable=True)
    assert told(applied) == [
        ["change", "unit lab-nap@1.service", "enabled", False, True],
        ["change", "unit lab-nap@1.service", "running", "inactive", "active"],
    ]
    shown = ask(host, "service.show", "lab-nap@1")
    assert (shown["active"], shown["file_state"], shown["type"]) == ("active", "enabled", "simple")
    before = host.run(["systemctl", "show", "-P", "MainPID", "lab-nap@1"]).stdout
    drive(host, "watch", "service.running", "lab-nap@1")
    assert host.run(["systemctl", "show", "-P", "MainPID", "lab-nap@1"]).stdout != before
    settle(host, "systemd_unit.present", "lab-nap@", dropin="limits", sections={"Service": {"LimitNOFILE": 4096}})
    drive(host, "watch", "service.running", "lab-nap@1")
    assert "4096" in host.run(["systemctl", "show", "-P", "LimitNOFILE", "lab-nap@1"]).stdout
    settle(host, "service.dead", "lab-nap@1", enable=False)
    settle(host, "service.masked", "lab-nap@1")
    assert "is masked" in refused(host, "service.running", "lab-nap@1")
    settle(host, "service.running", "lab-nap@1", unmask=True)
    settle(host, "service.dead", "lab-nap@1")
    settle(host, "service.enabled", "lab-nap@1")
    settle(host, "service.disabled", "lab-nap@1")
    settle(host, "service.masked", "lab-nap@1", runtime=True)
    settle(host, "service.unmasked", "lab-nap@1", runtime=True)
    settle(host, "systemd_unit.absent", "lab-nap@", dropin="limits")
    settle(host, "systemd_unit.absent", "lab-nap@")
    assert "there is no unit" in unchanged(host, "service.dead", "lab-nap@1")["comment"]


@pytest.mark.parametrize("bus", [True, False], ids=["bus", "no-bus"])
def test_a_start_that_fails_says_why(request: pytest.FixtureRequest, lab: Lab, bus: bool) -> None:
    host: Host = lab["a"] if bus else request.getfixturevalue("no_bus")
    shell = "/bin/sh -c 'echo cannot find my keyring; exit 7'"
    drive(host, "apply", "systemd_unit.present", "lab-broken", {"contents": unit(shell, "oneshot")})
    comment = refused(host, "service.running", "lab-broken")
    assert "result exit-code, exit status 7" in comment
    assert "cannot find my keyring" in comment
    drive(host, "apply", "systemd_unit.present", "lab-broken", {"contents": unit(shell)})
    assert "exit status 7" in refused(host, "service.running", "lab-broken")
    drive(host, "apply", "systemd_unit.absent", "lab-broken")


def test_a_start_limit_is_reset_once(host: Host) -> None:
    limit = "[Unit]\nStartLimitBurst=2\nStartLimitIntervalSec=1h\n"
    command = "/bin/sh -c 'test -e /run/lab-often && exec sleep 4000'"
    drive(host, "apply", "systemd_unit.present", "lab-often", {"contents": f"{limit}[Service]\nExecStart={command}\n"})
    assert "exit status 1" in refused(host, "service.running", "lab-often")
    assert "exit status 1" in refused(host, "service.running", "lab-often")
    host.shell("touch /run/lab-often")
    applied = drive(host, "apply", "service.running", "lab-often")
    assert applied["changes"][0][5] == {"start_limit": "was hit; reset once and started again"}
    drive(host, "apply", "service.dead", "lab-often")
    drive(host, "apply", "systemd_unit.absent", "lab-often")


def test_a_unit_that_cannot_be_loaded_is_not_written(host: Host) -> None:
    comment = refused(host, "systemd_unit.present", "lab-wrong", contents="[Service]\nType=oneshot\nRestart=always\n")
    assert "systemd refuses lab-wrong.service" in comment
    assert not host.exists("/etc/systemd/system/lab-wrong.service")
    settle(host, "systemd_unit.present", "lab-later", contents=unit("/opt/not-there-yet"))
    settle(host, "systemd_unit.absent", "lab-later")


def test_a_start_that_never_ends_meets_its_deadline(host: Host) -> None:
    text = unit("/bin/sleep 4000", "notify").replace("[Service]", "[Service]\nTimeoutStartSec=infinity")
    drive(host, "apply", "systemd_unit.present", "lab-slow", {"contents": text})
    script = DRIVER.replace("deadline=120.0", "deadline=2.0")
    order = {"kind": "apply", "function": "service.running", "name": "lab-slow", "args": {}}
    host.put("/root/hasty.py", script)
    done = host.run(["python3", "-I", "/root/hasty.py"], stdin=json.dumps(order))
    assert "the end of the start job of lab-slow.service did not come about within 2 s" in done.stdout
    drive(host, "apply", "service.dead", "lab-slow")
    drive(host, "apply", "systemd_unit.absent", "lab-slow")


# --- mounts ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("bus", [True, False], ids=["bus", "no-bus"])
def test_the_life_of_a_mount(request: pytest.FixtureRequest, lab: Lab, bus: bool) -> None:
    host: Host = lab["a"] if bus else request.getfixturevalue("no_bus")
    fstab = host.run(["cat", "/etc/fstab"], check=False).stdout
    args: dict[str, Any] = {"device": "lab", "fstype": "tmpfs", "opts": ["size=1m", "nosuid"]}
    assert "does not exist" in refused(host, "mount.mounted", "/srv/a b/in-it", **args)
    applied = settle(host, "mount.mounted", "/srv/a b/in-it", mkmnt=True, **args)
    assert [change[:3] for change in applied["changes"]] == [
        ["create", "/srv/a b/in-it", "directory"],
        ["create", "/etc/fstab", "entry /srv/a b/in-it"],
        ["create", "/srv/a b/in-it", "mounted"],
    ]
    unit_name = host.run(["systemd-escape", "--path", "--suffix=mount", "/srv/a b/in-it"]).stdout.strip()
    assert host.run(["systemctl", "is-active", "--", unit_name]).stdout == "active\n"
    args["opts"] = ["size=2m", "nosuid", "noexec"]
    applied = settle(host, "mount.mounted", "/srv/a b/in-it", **args)
    assert [change[2] for change in applied["changes"]] == ["entry /srv/a b/in-it", "options"]
    active = ask(host, "mount.active")["/srv/a b/in-it"]
    assert "noexec" in active["opts"]
    assert "size=2048k" in active["superopts"]
    drive(host, "watch", "mount.mounted", "/srv/a b/in-it", args)
    host.run(["umount", "/srv/a b/in-it"])
    settle(host, "mount.mounted", "/srv/a b/in-it", **args)
    settle(host, "mount.unmounted", "/srv/a b/in-it", persist=True)
    assert host.run(["cat", "/etc/fstab"], check=False).stdout == fstab


def test_a_bind_and_a_mount_that_is_not_kept(host: Host) -> None:
    host.shell("mkdir -p /srv/from /srv/to; touch /srv/from/here")
    args: dict[str, Any] = {"device": "/srv/from", "fstype": "none", "opts": "bind", "persist": False}
    settle(host, "mount.mounted", "/srv/to", **args)
    assert host.exists("/srv/to/here")
    host.shell("mkdir -p /srv/other")
    settle(host, "mount.mounted", "/srv/to", **{**args, "device": "/srv/other"})
    assert not host.exists("/srv/to/here")
    settle(host, "mount.unmounted", "/srv/to")


def test_a_busy_mount_is_told(host: Host) -> None:
    args = {"device": "lab", "fstype": "tmpfs", "mkmnt": True}
    drive(host, "apply", "mount.mounted", "/srv/busy", args)
    with host.start(["sh", "-c", "cd /srv/busy; echo in; exec cat"]) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "in\n"
        assert "target is busy" in refused(host, "mount.unmounted", "/srv/busy", persist=True)
        holder.communicate("", 30)
    settle(host, "mount.unmounted", "/srv/busy", persist=True)


def test_a_mount_that_fails_says_why(host: Host) -> None:
    comment = refused(host, "mount.mounted", "/srv/none", mkmnt=True, device="lab", fstype="nosuchfs")
    assert "srv-none.mount did not start" in comment
    assert "special device lab does not exist" in comment
    settle(host, "mount.unmounted", "/srv/none", persist=True)


def test_a_kept_mount_is_there_after_a_reboot(lab: Lab) -> None:
    host = lab["b"]
    settle(host, "mount.mounted", "/srv/kept", device="lab", fstype="tmpfs", mkmnt=True, opts="size=1m")
    host.reboot()
    unchanged(host, "mount.mounted", "/srv/kept", device="lab", fstype="tmpfs", mkmnt=True, opts="size=1m")
    settle(host, "mount.unmounted", "/srv/kept", persist=True)


# --- a mount behind a helper process --------------------------------------------------------------------------


@pytest.fixture(scope="module")
def storage(make_lab: MakeLab) -> Host:
    """A host with a GlusterFS volume of its own."""
    host = make_lab(["gl1"], layer="gluster")["gl1"]
    host.put("/root/drive.py", DRIVER)
    settle(host, "service.running", "glusterd", enable=True)
    host.shell("mkdir -p /srv/brick; gluster --mode=script volume create vol gl1:/srv/brick force", timeout=120)
    host.shell("gluster --mode=script volume start vol", timeout=120)
    return host


def test_a_fuse_mount_is_known_kept_and_mended(storage: Host) -> None:
    args: dict[str, Any] = {"device": "gl1:/vol", "fstype": "glusterfs", "opts": "_netdev,defaults", "mkmnt": True}
    settle(storage, "mount.mounted", "/var/lib/nova/instances", **args)
    assert ask(storage, "mount.active")["/var/lib/nova/instances"]["fstype"] == "fuse.glusterfs"
    storage.shell("echo kept > /var/lib/nova/instances/file")
    plan = drive(storage, "apply", "mount.mounted", "/var/lib/nova/instances", {**args, "opts": "_netdev,acl"})
    assert [change[2] for change in plan["changes"]] == ["entry /var/lib/nova/instances"]
    assert "takes effect when it is mounted again" in plan["warnings"][0]
    drive(storage, "watch", "mount.mounted", "/var/lib/nova/instances", {"device": "gl1:/vol", "fstype": "glusterfs"})
    storage.shell("pkill -KILL -f '[g]lusterfs .*instances'; until ! pgrep -f '[g]lusterfs .*instances'; do :; done")
    args["opts"] = "_netdev,acl"
    applied = settle(storage, "mount.mounted", "/var/lib/nova/instances", **args)
    assert "not connected" in applied["changes"][0][3]
    assert storage.get("/var/lib/nova/instances/file") == "kept\n"
    settle(storage, "mount.unmounted", "/var/lib/nova/instances", persist=True)
