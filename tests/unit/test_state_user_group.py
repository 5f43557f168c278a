"""user.* and group.*: accounts of a private root, changed by the real tools."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from protocol.data import Data
from protocol.errors import ArgumentError, StateError
from protocol.secrets import Secret
from states.host import process
from states.host.accounts import groups, memberships, password_hash, users
from tests.unit.state_contract import check, context, plan, snapshot

Args = Mapping[str, Data]

TOOLS = ("useradd", "usermod", "userdel", "groupadd", "groupmod", "groupdel", "chpasswd")
HASH = "$6$salt$" + "h" * 86


@pytest.fixture
def root(tmp_path: Path) -> Path:
    made = tmp_path / "root"
    for folder in ("etc", "usr/sbin", "usr/bin", "home"):
        (made / folder).mkdir(parents=True)
    for tool in TOOLS:
        (made / "usr/sbin" / tool).symlink_to(f"/usr/sbin/{tool}")
    (made / "usr/bin/gpasswd").symlink_to("/usr/bin/gpasswd")
    (made / "etc/passwd").write_text("root:x:0:0:root:/root:/bin/sh\nann:x:1000:1000:Ann,Room 1,,:/home/ann:/bin/sh\n")
    (made / "etc/group").write_text("root:x:0:\nann:x:1000:\nadm:x:4:ann\nkvm:x:106:\n")
    (made / "etc/shadow").write_text(f"root:*:19000:0:99999:7:::\nann:{HASH}:19000:0:99999:7:::\n")
    (made / "etc/gshadow").write_text("root:*::\nann:!::\nadm:*::ann\nkvm:!::\n")
    for secret in ("shadow", "gshadow"):
        (made / "etc" / secret).chmod(0o640)
    return made


def checked(state: str, name: str, args: Args, root: Path) -> list[tuple[str, str, str]]:
    """As `check`, without its look at the files: shadow-utils leave copies and locks that no change tells of."""
    ctx = context(root)
    ctx.test = True
    before = snapshot(root)
    dry = plan(ctx, state, name, args)
    assert snapshot(root) == before
    ctx.test = False
    wet = plan(ctx, state, name, args)
    for action in wet.actions:
        action.perform()
    assert plan(ctx, state, name, args).changes == ()
    told = [change.foretold() for change in wet.changes]
    assert [change.foretold() for change in dry.changes] == told
    return told


def test_a_new_user(root: Path) -> None:
    args: Args = {
        "uid": 64045,
        "gid": "kvm",
        "home": "/home/ceph",
        "shell": "/usr/sbin/nologin",
        "fullname": "Ceph daemons",
        "groups": ["adm"],
        "optional_groups": ["kvm", "none"],
        "password": HASH,
        "system": True,
    }
    told = checked("user.present", "ceph", args, root)
    assert told == [
        ("create", "user ceph", "account"),
        ("create", "/home/ceph", "directory"),
        ("change", "user ceph", "password"),
    ]
    made = users(root)["ceph"]
    assert (made.uid, made.gid, made.gecos, made.home, made.shell) == (
        64045,
        106,
        "Ceph daemons",
        "/home/ceph",
        "/usr/sbin/nologin",
    )
    assert memberships(groups(root), "ceph") == {"adm", "kvm"}
    assert (root / "home/ceph").is_dir()
    hashed = password_hash(root, "ceph")
    assert hashed is not None
    assert hashed.reveal() == HASH


def test_a_new_user_of_a_group_of_his_name(root: Path) -> None:
    checked("group.present", "glance", {"gid": 64062}, root)
    checked("user.present", "glance", {"createhome": False}, root)
    assert users(root)["glance"].gid == 64062
    assert not (root / "home/glance").exists()
    checked("group.present", "nova", {"system": True}, root)
    checked("user.present", "nova", {"gid_from_name": True}, root)
    assert users(root)["nova"].gid == groups(root)["nova"].gid


CHANGES: list[tuple[Args, list[str]]] = [
    ({}, []),
    ({"uid": 1000, "gid": 1000, "shell": "/bin/sh", "groups": ["adm"], "fullname": "Ann"}, []),
    ({"shell": "/bin/bash"}, ["shell"]),
    ({"fullname": "Anna"}, ["fullname"]),
    ({"groups": ["kvm"]}, ["groups"]),
    ({"groups": ["kvm"], "remove_groups": False}, ["groups"]),
    ({"groups": ["ann", "adm"]}, []),
    ({"groups": []}, ["groups"]),
    ({"uid": 1001, "allow_uid_change": True}, ["uid"]),
    ({"gid": 106, "allow_gid_change": True}, ["gid"]),
    ({"home": "/home/ann"}, ["directory"]),
    ({"home": "/srv/ann"}, ["home", "directory", "directory"]),
    ({"home": "/srv/ann", "createhome": False}, ["home"]),
    ({"password": HASH}, []),
    ({"password": "$6$other$x"}, ["password"]),
    ({"password": Secret("$6$other$x")}, ["password"]),
    ({"password": "$6$other$x", "enforce_password": False}, []),
    ({"empty_password": True}, ["password"]),
    ({"password_lock": True}, ["password"]),
    ({"password_lock": False}, []),
]


@pytest.mark.parametrize(("args", "aspects"), CHANGES)
def test_an_existing_user(root: Path, args: Args, aspects: list[str]) -> None:
    told = checked("user.present", "ann", args, root)
    assert [aspect for _, _, aspect in told] == aspects


def test_where_the_home_of_a_new_user_is(root: Path) -> None:
    assert checked("user.present", "bob", {}, root)[1] == ("create", "/home/bob", "directory")
    assert (root / "home/bob").is_dir()
    (root / "etc/default").mkdir()
    (root / "etc/default/useradd").write_text("# HOME=/x\nHOME=/srv\n")
    assert checked("user.present", "eve", {}, root)[1] == ("create", "/srv/eve", "directory")
    assert (root / "srv/eve").is_dir()


def test_what_changes_of_an_existing_user(root: Path) -> None:
    checked("user.present", "ann", {"fullname": "Anna", "groups": ["kvm"], "remove_groups": False}, root)
    assert users(root)["ann"].gecos == "Anna,Room 1"
    assert memberships(groups(root), "ann") == {"adm", "kvm"}
    checked("user.present", "ann", {"home": "/srv/ann"}, root)
    assert snapshot(root)["/srv/ann"][:4] == ("directory", 0o700, 1000, 1000)
    checked("user.present", "ann", {"password_lock": True}, root)
    hashed = password_hash(root, "ann")
    assert hashed is not None
    assert hashed.reveal() == "!" + HASH


def test_a_hash_is_neither_told_nor_an_argument(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    argvs: list[list[str]] = []
    real = process.run

    def spy(ctx: object, argv: list[str], **options: object) -> object:
        argvs.append(list(argv))
        return real(ctx, argv, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(process, "run", spy)
    done = plan(context(root), "user.present", "bob", {"password": "$6$s$verysecret", "createhome": False})
    for action in done.actions:
        action.perform()
    assert "verysecret" not in repr(done.changes)
    assert len(argvs) == 2
    assert "verysecret" not in repr(argvs)
    assert "verysecret" in (root / "etc/shadow").read_text()


def test_removal(root: Path) -> None:
    (root / "home/ann").mkdir()
    (root / "home/ann/file").write_text("")
    assert checked("user.absent", "ann", {}, root) == [("remove", "user ann", "account")]
    assert (root / "home/ann/file").exists()
    assert checked("user.absent", "ann", {}, root) == []
    with pytest.raises(StateError, match="administrator"):
        plan(context(root), "user.absent", "root", {})


GROUPS: list[tuple[str, Args, list[str], int | None, tuple[str, ...]]] = [
    ("new", {}, ["account"], None, ()),
    ("new", {"gid": 500, "members": ["ann"]}, ["account", "members"], 500, ("ann",)),
    ("new", {"system": True, "addusers": ["ann", "root"]}, ["account", "members"], None, ("ann", "root")),
    ("adm", {}, [], 4, ("ann",)),
    ("adm", {"gid": 7744}, ["gid"], 7744, ("ann",)),
    ("adm", {"addusers": ["root"]}, ["members"], 4, ("ann", "root")),
    ("adm", {"delusers": ["ann"]}, ["members"], 4, ()),
    ("adm", {"members": []}, ["members"], 4, ()),
    ("adm", {"members": ["ann"]}, [], 4, ("ann",)),
    ("adm", {"gid": 106, "non_unique": True}, ["gid"], 106, ("ann",)),
]


@pytest.mark.parametrize(("name", "args", "aspects", "gid", "members"), GROUPS)
def test_groups(
    root: Path, name: str, args: Args, aspects: list[str], gid: int | None, members: tuple[str, ...]
) -> None:
    told = checked("group.present", name, args, root)
    assert [aspect for _, _, aspect in told] == aspects
    assert groups(root)[name].members == members
    assert gid is None or groups(root)[name].gid == gid


def test_group_removal(root: Path) -> None:
    assert checked("group.absent", "kvm", {}, root) == [("remove", "group kvm", "account")]
    assert "kvm" not in groups(root)
    with pytest.raises(StateError, match="primary group of ann"):
        plan(context(root), "group.absent", "ann", {})


FAILURES: list[tuple[str, str, Args, str]] = [
    ("user.present", "ann", {"uid": 1001}, "the uid stays"),
    ("user.present", "ann", {"gid": 106}, "the primary group stays"),
    ("user.present", "bob", {"uid": 1000}, "the uid 1000 is that of the user ann"),
    ("user.present", "bob", {"groups": ["none"]}, "there is no group 'none'"),
    ("user.present", "bob", {"gid": "none"}, "there is no group 'none'"),
    ("user.present", "bob", {"gid_from_name": True}, "there is no group 'bob'"),
    ("group.present", "new", {"gid": 4}, "the gid 4 is that of the group adm"),
    ("group.present", "new", {"members": ["none"]}, "there is no user 'none'"),
]


@pytest.mark.parametrize(("state", "name", "args", "message"), FAILURES)
def test_failures(root: Path, state: str, name: str, args: Args, message: str) -> None:
    with pytest.raises(StateError, match=message):
        plan(context(root), state, name, args)


def test_a_dry_run_assumes_what_earlier_steps_foretell(root: Path) -> None:
    ahead = context(root, test=True, pending=True)
    done = plan(ahead, "user.present", "bob", {"groups": ["none"], "gid_from_name": True})
    assert [change.aspect for change in done.changes] == ["account", "directory"]
    done = plan(ahead, "group.present", "adm", {"addusers": ["bob"]})
    assert [change.aspect for change in done.changes] == ["members"]


WRONG: list[tuple[str, str, Args, str]] = [
    ("user.present", "-x", {}, "no name of a user"),
    ("user.present", "a:b", {}, "no name of a user"),
    ("user.present", "a\nb", {}, "no name of a user"),
    ("user.present", "x" * 33, {}, "no name of a user"),
    ("user.absent", "--remove", {}, "no name of a user"),
    ("group.present", "../x", {}, "no name of a group"),
    ("group.absent", "", {}, "no name of a group"),
    ("user.present", "bob", {"fullname": "x:0:0"}, "must not hold ':'"),
    ("user.present", "bob", {"fullname": "a,b"}, "must not hold ','"),
    ("user.present", "bob", {"home": "home"}, "not an absolute path"),
    ("user.present", "bob", {"shell": "/bin/sh\nroot2::0:0::/:"}, "must not hold"),
    ("user.present", "bob", {"password": "x\nroot:y"}, "must not hold"),
    ("user.present", "bob", {"password": "x", "empty_password": True}, "exclude each other"),
    ("user.present", "bob", {"gid": 4, "gid_from_name": True}, "exclude each other"),
    ("group.present", "g", {"members": ["ann"], "addusers": ["ann"]}, "excludes"),
    ("group.present", "g", {"delusers": ["ann"], "addusers": ["ann"]}, "is both in"),
]


@pytest.mark.parametrize(("state", "name", "args", "message"), WRONG)
def test_wrong_arguments(root: Path, state: str, name: str, args: Args, message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        plan(context(root), state, name, args)


def test_without_the_tools(root: Path) -> None:
    (root / "usr/sbin/useradd").unlink()
    done = plan(context(root), "user.present", "bob", {})
    with pytest.raises(StateError, match="no command useradd"):
        done.actions[0].perform()


def test_nothing_to_do_touches_nothing(root: Path) -> None:
    assert check("user.present", "ann", {"shell": "/bin/sh"}, root).changes == ()
    assert check("group.present", "adm", {"gid": 4}, root).changes == ()
