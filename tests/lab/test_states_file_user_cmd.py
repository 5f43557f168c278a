"""Files, accounts, commands, INI options and kernel parameters on a booted host: its own tools, kernel and disks."""

from __future__ import annotations

import json

import pytest

from tests.lab.apply_states import Declared, apply, call, settle
from tests.lab.conftest import MakeLab
from tests.lab.harness import Host, product


@pytest.fixture(scope="module")
def host(make_lab: MakeLab) -> Host:
    return make_lab(["node1"])["node1"]


def stat(host: Host, path: str) -> str:
    return host.run(["stat", "-c", "%A %U:%G", path]).stdout.strip()


def test_a_service_account_with_its_files(host: Host) -> None:
    """What a formula does for a daemon: group, user, directories, configuration; foretold whole, then done."""
    states: list[Declared] = [
        ("group.present", "glance", {"gid": 64062, "system": True}),
        (
            "user.present",
            "glance",
            {"uid": 64062, "gid_from_name": True, "home": "/var/lib/glance", "shell": "/bin/false", "system": True},
        ),
        ("file.directory", "/etc/glance", {"user": "root", "group": "glance", "mode": "0750"}),
        (
            "file.managed",
            "/etc/glance/glance-api.conf",
            {"contents": "[DEFAULT]\n#debug = false\n", "user": "root", "group": "glance", "mode": "0640"},
        ),
        (
            "ini.options_present",
            "/etc/glance/glance-api.conf",
            {"sections": {"DEFAULT": {"debug": True}, "database": {"connection": "mysql://"}}},
        ),
        ("file.symlink", "/etc/glance/link", {"target": "glance-api.conf"}),
        ("file.directory", "/var/lib/glance/images/a", {"user": "glance", "makedirs": True, "mode": "0700"}),
    ]
    foretold = apply(host, states, test=True)
    assert foretold.good, foretold.comments
    done = apply(host, states)
    assert done.good, done.comments
    assert foretold.changes == done.changes
    assert stat(host, "/etc/glance/glance-api.conf") == "-rw-r----- root:glance"
    assert stat(host, "/var/lib/glance/images") == "drwx------ glance:root"
    expected = "[DEFAULT]\n#debug = false\ndebug = True\n\n[database]\nconnection = mysql://\n"
    assert host.get("/etc/glance/link") == expected
    assert host.run(["id", "glance"]).stdout == "uid=64062(glance) gid=64062(glance) groups=64062(glance)\n"
    assert host.run(["runuser", "-u", "glance", "--", "cat", "/etc/glance/glance-api.conf"]).stdout
    without_file = [each for each in states if each[0] != "file.managed"]
    again = apply(host, without_file)
    assert (again.good, again.changes) == (True, ())


def test_the_life_of_a_user(host: Host) -> None:
    hashed = host.run(["openssl", "passwd", "-6", "-stdin"], stdin="first\n").stdout.strip()
    settle(host, [("user.present", "operator1", {"password": hashed, "groups": ["adm"], "fullname": "One"})])
    assert host.shell("getent shadow operator1").split(":")[1] == hashed
    assert host.shell("id -Gn operator1").split() == ["operator1", "adm"]
    assert stat(host, "/home/operator1").endswith("operator1:operator1")
    settle(host, [("user.present", "operator1", {"groups": ["users"], "shell": "/bin/bash", "password_lock": True})])
    assert host.shell("getent shadow operator1").split(":")[1] == "!" + hashed
    assert set(host.shell("id -Gn operator1").split()) == {"operator1", "users"}
    settle(host, [("group.present", "adm", {"addusers": ["operator1"]})])
    assert "adm" in host.shell("id -Gn operator1").split()
    assert call(host, "user.info", name="operator1")["shell"] == "/bin/bash"
    settle(host, [("user.absent", "operator1", {"purge": True})])
    assert host.run(["getent", "passwd", "operator1"], check=False).returncode == 2
    assert not host.exists("/home/operator1")


def test_commands_as_somebody_else(host: Host) -> None:
    settle(host, [("user.present", "runner", {"groups": ["adm"]})])
    host.put(
        "/usr/local/bin/who", "#!/bin/sh\nid -un; id -Gn; pwd; echo $HOME; grep NoNewPrivs /proc/self/status\n", 0o755
    )
    told = call(host, "cmd.run", cmd="who", runas="runner")
    assert told.splitlines()[:4] == ["runner", "runner adm", "/home/runner", "/home/runner"]
    refused = call(host, "cmd.run_all", cmd="cat /etc/shadow", runas="runner")
    assert refused["retcode"] != 0
    assert "Permission denied" in refused["stderr"]
    done = apply(host, [("cmd.run", "id -un > made; exit 3", {"runas": "runner", "cwd": "/home/runner"})])
    assert done.results == (False,)
    assert done.changes == (("run", "id -un > made; exit 3", ""),)
    assert host.get("/home/runner/made") == "runner\n"


def test_a_stateful_command_that_changed_nothing(host: Host) -> None:
    command = "echo \"changed=no comment='as it was'\""
    done = apply(host, [("cmd.run", command, {"stateful": True})])
    assert (done.results, done.changes, done.comments) == ((True,), (), ("as it was",))


def test_a_full_disk_leaves_the_old_file(host: Host) -> None:
    host.shell("mkdir -p /srv/small && mount -t tmpfs -o size=64k tmpfs /srv/small && echo old > /srv/small/conf")
    try:
        done = apply(host, [("file.managed", "/srv/small/conf", {"contents": "x" * 200_000})])
        assert done.results == (False,)
        assert "No space left on device" in done.comments[0]
        assert host.get("/srv/small/conf") == "old\n"
        assert host.run(["ls", "-A", "/srv/small"]).stdout == "conf\n"
        refused = apply(host, [("file.absent", "/srv", {})])
        assert refused.results == (False,)
        assert "/srv/small is a mount point" in refused.comments[0]
    finally:
        host.shell("umount /srv/small")


def test_a_read_only_file_system_says_so(host: Host) -> None:
    host.shell("mkdir -p /srv/ro && mount -t tmpfs -o ro tmpfs /srv/ro")
    try:
        done = apply(host, [("file.managed", "/srv/ro/conf", {"contents": "x"})])
        assert "mounted read-only" in done.comments[0]
    finally:
        host.shell("umount /srv/ro")


def test_an_immutable_file_says_so(host: Host) -> None:
    host.put("/srv/fixed", "old\n")
    if host.run(["chattr", "+i", "/srv/fixed"], check=False).returncode != 0:
        host.shell("mount --bind /srv/fixed /srv/fixed")
    done = apply(host, [("file.managed", "/srv/fixed", {"contents": "new"})])
    host.shell("chattr -i /srv/fixed 2>/dev/null || umount /srv/fixed")
    assert done.results == (False,)
    assert host.get("/srv/fixed") == "old\n"


def test_a_kernel_parameter(host: Host) -> None:
    name = "net.ipv4.conf.lo.forwarding"
    before = call(host, "sysctl.get", name=name)
    wanted = "0" if before == "1" else "1"
    settle(host, [("sysctl.present", name, {"value": wanted})])
    assert host.run(["sysctl", "-n", name]).stdout.strip() == wanted
    assert f"{name} = {wanted}\n" in host.get("/etc/sysctl.d/99-stackmaster.conf")
    host.shell("sysctl -p /etc/sysctl.d/99-stackmaster.conf")
    refused = apply(host, [("sysctl.present", name, {"value": "nonsense"})])
    assert refused.results == (False,)
    assert "Invalid argument" in refused.comments[0]


def test_what_the_host_is(host: Host) -> None:
    code = f"import sys, json; sys.path.insert(0, {product.HOME!r}); from states.host.grains import gather; "
    grains = json.loads(host.run(["python3", "-I", "-c", code + "print(json.dumps(gather()))"]).stdout)
    expected = {
        "os": "Debian",
        "osfinger": "Debian-12",
        "virtual": "container",
        "virtual_subtype": "systemd-nspawn",
        "init": "systemd",
        "host": "node1",
        "systemd": {"version": host.shell("systemctl --version | head -1").split()[1]},
        "machine_id": host.get("/etc/machine-id").strip(),
    }
    assert {key: grains[key] for key in expected} == expected
    addresses = host.shell("ip -4 -o addr show scope global | awk '{print $4}' | cut -d/ -f1").split()
    assert addresses
    assert set(addresses) <= set(grains["ipv4"])
