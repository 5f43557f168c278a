"""Names and properties of units are read as systemd writes them."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from states.context import Context
from states.host import systemd_bus, systemd_cli
from states.host.systemd import escape_path, unit_name
from states.host.unitview import Unit


@pytest.mark.parametrize(
    ("path", "escaped"),
    [
        ("/", "-"),
        ("/var/lib/nova/instances", "var-lib-nova-instances"),
        ("/srv//a-b/", "srv-a\\x2db"),
        ("/.hidden", "\\x2ehidden"),
        ("/mnt/ü x", "mnt-\\xc3\\xbc\\x20x"),
        ("/a_b:c.d", "a_b:c.d"),
    ],
)
def test_paths_are_escaped(path: str, escaped: str) -> None:
    assert escape_path(path) == escaped


def test_systemd_escapes_them_the_same_way() -> None:
    command = shutil.which("systemd-escape")
    assert command is not None
    paths = ["/", "/var/lib/nova/instances", "/srv/a-b", "/.hidden", "/mnt/ü x", "/a_b:c.d", "/x@y/%i"]
    argv = [command, "--path", "--", *paths]
    given_ = subprocess.run(argv, check=True, capture_output=True, text=True).stdout
    assert given_.split() == [escape_path(path) for path in paths]


@given(st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=30))
def test_an_escaped_path_is_the_name_of_a_unit(path: str) -> None:
    name = f"{escape_path('/' + path)}.mount"
    if len(name) <= 255:
        assert unit_name(name, template=True) == name


def test_object_names() -> None:
    assert systemd_bus.object_name("ceph-mon@mon1.service") == "ceph_2dmon_40mon1_2eservice"
    assert systemd_bus.object_name("9p.mount") == "_39p_2emount"


def test_both_doors_give_the_same_unit() -> None:
    shown = systemd_cli.parse_show(
        "x.service",
        "LoadState=loaded\nActiveState=failed\nSubState=failed\nNeedDaemonReload=yes\nCanReload=yes\n"
        "ConditionResult=yes\nType=notify\nRemainAfterExit=no\nResult=signal\nExecMainCode=2\nExecMainStatus=9\n"
        "FragmentPath=/lib/systemd/system/x.service\nInvocationID=0a0b\n",
    )
    told = systemd_bus.unit_of(
        "x.service",
        {
            "LoadState": "loaded",
            "LoadError": ["", ""],
            "ActiveState": "failed",
            "SubState": "failed",
            "NeedDaemonReload": True,
            "CanReload": True,
            "ConditionResult": True,
            "Type": "notify",
            "RemainAfterExit": False,
            "Result": "signal",
            "ExecMainCode": 2,
            "ExecMainStatus": 9,
            "FragmentPath": "/lib/systemd/system/x.service",
            "InvocationID": b"\x0a\x0b",
        },
    )
    expected = Unit(
        "x.service",
        "loaded",
        "failed",
        "failed",
        need_reload=True,
        can_reload=True,
        type="notify",
        result="signal",
        killed=True,
        exit_status=9,
        fragment="/lib/systemd/system/x.service",
        invocation="0a0b",
    )
    assert shown == told == expected


def test_without_a_bus_there_is_no_connection(tmp_path: Path) -> None:
    ctx = Context("m1", {}, root=tmp_path)
    assert systemd_bus.connect(ctx) is None
    (tmp_path / "run/dbus").mkdir(parents=True)
    (tmp_path / "run/dbus/system_bus_socket").touch()
    assert systemd_bus.connect(ctx) is None
