"""file.managed: content, owner and mode, from every kind of source."""

from __future__ import annotations

import hashlib
import http.server
import os
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.data import Data
from protocol.errors import ArgumentError, StateError, UnreachableError
from protocol.secrets import UNKNOWN, Secret
from states.host import files
from tests.unit.state_contract import check, context, plan, snapshot

PASSWD = "root:x:0:0:root:/root:/bin/sh\nceph:x:64045:64045::/var/lib/ceph:/usr/sbin/nologin\n"
GROUP = "root:x:0:\nceph:x:64045:\n"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    made = tmp_path / "root"
    (made / "etc/ceph").mkdir(parents=True)
    (made / "etc/passwd").write_text(PASSWD)
    (made / "etc/group").write_text(GROUP)
    return made


def content(root: Path) -> bytes:
    return (root / "etc/ceph/ceph.conf").read_bytes()


CONTENTS: list[tuple[dict[str, Data], bytes]] = [
    ({"contents": "a\nb"}, b"a\nb\n"),
    ({"contents": "a\n"}, b"a\n"),
    ({"contents": "a", "contents_newline": False}, b"a"),
    ({"contents": ["a", "b", 3]}, b"a\nb\n3\n"),
    ({"contents": ""}, b""),
    ({"contents": 42}, b"42\n"),
    ({"contents": b"\x00\xff"}, b"\x00\xff"),
    ({"contents": "ä"}, "ä\n".encode()),
    ({"contents": "ä", "encoding": "latin-1"}, "ä\n".encode("latin-1")),
    ({"source": "salt://ceph/ceph.conf"}, b"[global]\n"),
    ({"source": ["salt://no", "salt://ceph/ceph.conf"]}, b"[global]\n"),
    ({"source": "/srv/conf"}, b"local\n"),
    ({"source": "file:///srv/conf"}, b"local\n"),
    ({}, b""),
]


@pytest.mark.parametrize(("args", "expected"), CONTENTS)
@pytest.mark.parametrize("existing", [None, b"old\n"])
def test_content(root: Path, args: Mapping[str, Data], expected: bytes, existing: bytes | None) -> None:
    (root / "srv").mkdir()
    (root / "srv/conf").write_text("local\n")
    if existing is not None:
        (root / "etc/ceph/ceph.conf").write_bytes(existing)
    sources = {"salt://ceph/ceph.conf": b"[global]\n"}
    done = check("file.managed", "/etc/ceph/ceph.conf", args, root, sources=sources)
    assert content(root) == (existing if not args and existing else expected)
    assert [change.aspect for change in done.changes] == ([] if not args and existing else ["content"])


def test_equal_content_changes_nothing(root: Path) -> None:
    (root / "etc/ceph/ceph.conf").write_bytes(b"[global]\n")
    sources = {"salt://c": b"[global]\n"}
    assert check("file.managed", "/etc/ceph/ceph.conf", {"source": "salt://c"}, root, sources=sources).changes == ()


def test_owner_and_mode_are_told_each(root: Path) -> None:
    (root / "etc/ceph/ceph.conf").write_bytes(b"old\n")
    (root / "etc/ceph/ceph.conf").chmod(0o644)
    args = {"contents": "new", "user": "ceph", "group": "ceph", "mode": "0640"}
    done = check("file.managed", "/etc/ceph/ceph.conf", args, root)
    assert [change.aspect for change in done.changes] == ["content", "user", "group", "mode"]
    assert done.changes[0].diff == "--- /etc/ceph/ceph.conf\n+++ /etc/ceph/ceph.conf\n@@ -1 +1 @@\n-old\n+new\n"
    assert (done.changes[1].old, done.changes[1].new) == ("root", "ceph")
    assert (done.changes[3].old, done.changes[3].new) == ("0644", "0640")
    entry = snapshot(root)["/etc/ceph/ceph.conf"]
    assert entry == ("file", 0o640, 64045, 64045, b"new\n")


@pytest.mark.parametrize(
    ("args", "aspects"),
    [({"user": "ceph"}, ["user"]), ({"group": "64045"}, ["group"]), ({"mode": 600}, ["mode"]), ({"mode": "0644"}, [])],
)
def test_attributes_alone(root: Path, args: Mapping[str, Data], aspects: list[str]) -> None:
    (root / "etc/ceph/ceph.conf").write_bytes(b"kept")
    (root / "etc/ceph/ceph.conf").chmod(0o644)
    done = check("file.managed", "/etc/ceph/ceph.conf", args, root)
    assert [change.aspect for change in done.changes] == aspects
    assert content(root) == b"kept"


def test_a_change_of_owner_keeps_the_set_user_id_bit(root: Path) -> None:
    (root / "etc/ceph/tool").write_bytes(b"")
    (root / "etc/ceph/tool").chmod(0o4755)
    check("file.managed", "/etc/ceph/tool", {"user": "ceph"}, root)
    assert snapshot(root)["/etc/ceph/tool"][1] == 0o4755


def test_replaced_content_keeps_owner_and_mode(root: Path) -> None:
    (root / "etc/ceph/ceph.conf").write_bytes(b"old")
    os.chown(root / "etc/ceph/ceph.conf", 64045, 64045)
    (root / "etc/ceph/ceph.conf").chmod(0o600)
    check("file.managed", "/etc/ceph/ceph.conf", {"contents": "new"}, root)
    assert snapshot(root)["/etc/ceph/ceph.conf"] == ("file", 0o600, 64045, 64045, b"new\n")


def test_an_unknown_user_is_an_error_that_says_what_to_do(root: Path) -> None:
    with pytest.raises(StateError, match=r"there is no user 'glance' \(declare it with user.present"):
        plan(context(root), "file.managed", "/etc/x", {"user": "glance"})


def test_a_dry_run_assumes_what_earlier_steps_foretell(root: Path) -> None:
    ctx = context(root, test=True, pending=True)
    args = {"contents": "x", "user": "glance", "group": "glance", "mode": "0640"}
    done = plan(ctx, "file.managed", "/etc/glance/glance.conf", args)
    assert [change.foretold() for change in done.changes] == [("create", "/etc/glance/glance.conf", "content")]
    (root / "etc/old.conf").write_text("x\n")
    done = plan(ctx, "file.managed", "/etc/old.conf", {"user": "glance"})
    assert [(change.aspect, change.new) for change in done.changes] == [("user", "glance")]
    done = plan(ctx, "file.managed", "/etc/old.conf", {"source": "/srv/made-before"})
    assert done.changes[0].new == UNKNOWN


def test_nothing_is_foretold_twice(root: Path) -> None:
    """What an earlier step of a dry run makes is there for later ones, as far as can be known."""
    ctx = context(root, test=True, pending=True, made={"/srv", "/srv/conf"})
    done = plan(ctx, "file.managed", "/srv/a/new", {"contents": "x", "makedirs": True})
    assert [change.subject for change in done.changes] == ["/srv/a", "/srv/a/new"]
    for state, name, args in (
        ("file.managed", "/srv/conf", {"contents": "x"}),
        ("file.append", "/srv/conf", {"text": "x"}),
        ("file.replace", "/srv/conf", {"pattern": "x", "repl": "y"}),
        ("ini.options_present", "/srv/conf", {"sections": {"a": {"k": "v"}}}),
        ("file.directory", "/srv", {"mode": "0700"}),
    ):
        (change,) = plan(ctx, state, name, args).changes
        assert (change.kind, change.subject, change.new) == ("change", name, UNKNOWN)


def test_missing_directories(root: Path) -> None:
    with pytest.raises(StateError, match=r"directory /etc/nova/a does not exist.*makedirs"):
        plan(context(root), "file.managed", "/etc/nova/a/nova.conf", {"contents": "x"})
    args: dict[str, Data] = {"contents": "x", "makedirs": True, "user": "ceph", "mode": "0640"}
    done = check("file.managed", "/etc/nova/a/nova.conf", args, root)
    assert [change.subject for change in done.changes] == ["/etc/nova", "/etc/nova/a", "/etc/nova/a/nova.conf"]
    found = snapshot(root)
    assert found["/etc/nova/a"][:3] == ("directory", 0o750, 64045)
    assert found["/etc/nova/a/nova.conf"][:3] == ("file", 0o640, 64045)


def test_dir_mode(root: Path) -> None:
    check("file.managed", "/etc/n/x", {"contents": "", "makedirs": True, "dir_mode": "0711", "mode": "600"}, root)
    assert snapshot(root)["/etc/n"][1] == 0o711


def test_replace_and_create_can_be_turned_off(root: Path) -> None:
    assert check("file.managed", "/etc/none", {"contents": "x", "create": False}, root).changes == ()
    (root / "etc/there").write_text("mine")
    done = check("file.managed", "/etc/there", {"contents": "x", "replace": False, "mode": "600"}, root)
    assert [change.aspect for change in done.changes] == ["mode"]
    assert (root / "etc/there").read_text() == "mine"


def test_a_backup_is_kept_and_told(root: Path) -> None:
    (root / "etc/there").write_text("old")
    ctx = context(root)
    done = plan(ctx, "file.managed", "/etc/there", {"contents": "new", "backup": "minion"})
    told = done.actions[0].perform()
    assert isinstance(told, Mapping)
    assert Path(str(told["backup"])).read_text() == "old"


@pytest.mark.parametrize("args", [{"secret": True, "contents": "hunter2"}, {"contents": Secret("hunter2")}])
def test_secret_content_is_never_told_and_for_its_owner_only(root: Path, args: dict[str, Data]) -> None:
    done = check("file.managed", "/etc/pw", args, root)
    assert "hunter2" not in repr(done.changes)
    assert done.changes[0].diff == files.NOT_SHOWN
    assert snapshot(root)["/etc/pw"] == ("file", 0o600, 0, 0, b"hunter2\n")
    (root / "etc/pw").write_text("older")
    done = check("file.managed", "/etc/pw", args, root)
    assert "older" not in repr(done.changes) + str(done.comment)
    assert "sha256" not in repr(done.changes)


def test_show_changes(root: Path) -> None:
    done = check("file.managed", "/etc/pw", {"contents": "private", "show_changes": False}, root)
    assert "private" not in repr(done.changes)


def test_check_cmd_sees_the_new_content_and_can_refuse_it(root: Path) -> None:
    (root / "etc/conf").write_text("old")
    (root / "usr/bin").mkdir(parents=True)
    (root / "usr/bin/grep").symlink_to("/usr/bin/grep")
    done = plan(context(root), "file.managed", "/etc/conf", {"contents": "bad", "check_cmd": "grep -q good"})
    with pytest.raises(StateError, match="the new content was refused: grep -q good"):
        done.actions[0].perform()
    assert (root / "etc/conf").read_text() == "old"
    assert sorted(path.name for path in (root / "etc").iterdir()) == ["ceph", "conf", "group", "passwd"]
    check("file.managed", "/etc/conf", {"contents": "good", "check_cmd": "grep -q good"}, root)
    assert (root / "etc/conf").read_text() == "good\n"


def test_links(root: Path) -> None:
    (root / "etc/real").write_text("old")
    (root / "etc/link").symlink_to("real")
    plan(context(root), "file.managed", "/etc/link", {"contents": "new"}).actions[0].perform()
    assert (root / "etc/link").is_symlink()
    assert (root / "etc/real").read_text() == "new\n"
    check("file.managed", "/etc/link", {"contents": "mine", "follow_symlinks": False}, root)
    assert not (root / "etc/link").is_symlink()
    assert (root / "etc/real").read_text() == "new\n"


@pytest.mark.parametrize("make", [lambda path: path.mkdir(), lambda path: os.mkfifo(path)])
def test_something_else_in_the_way(root: Path, make: object) -> None:
    assert callable(make)
    make(root / "etc/conf")
    with pytest.raises(StateError, match="not a regular file"):
        plan(context(root), "file.managed", "/etc/conf", {"contents": "x"})


WRONG: list[tuple[dict[str, Data], str]] = [
    ({"contents": "x", "source": "salt://x"}, "exclude each other"),
    ({"contents": {"a": 1}}, "must be text"),
    ({"contents": "", "allow_empty": False}, "empty"),
    ({"source": "relative"}, "no source"),
    ({"source": "ftp://host/x"}, "no source"),
    ({"source": "https://host/x"}, "needs source_hash"),
    ({"source": "https://host/x", "source_hash": "https://host/x.sha256"}, "must not come from the network"),
    ({"source": "/etc/passwd", "source_hash": "sha256=abc"}, "no source_hash"),
    ({"source": "/etc/passwd", "source_hash": "md5=" + "a" * 64}, "no source_hash"),
    ({"mode": "rwx"}, "octal"),
    ({"contents": "x", "encoding": "klingon"}, "cannot be encoded"),
    ({"colour": "red"}, "no argument 'colour'"),
]


@pytest.mark.parametrize(("args", "message"), WRONG)
def test_wrong_arguments(root: Path, args: Mapping[str, Data], message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        plan(context(root), "file.managed", "/etc/x", args)


@pytest.mark.parametrize("source", ["salt://none", "/srv/none"])
def test_a_missing_source(root: Path, source: str) -> None:
    with pytest.raises(StateError, match="no source is there"):
        plan(context(root), "file.managed", "/etc/x", {"source": source})


@pytest.mark.parametrize("form", ["sha256={}", "{}", "sha256:{}", "salt://sums", "/srv/sums"])
def test_forms_of_source_hash(root: Path, form: str) -> None:
    (root / "srv").mkdir()
    (root / "srv/x.tar").write_bytes(b"payload")
    digest = hashlib.sha256(b"payload").hexdigest()
    listing = f"{'0' * 64}  other.tar\n{digest} *x.tar\n".encode()
    (root / "srv/sums").write_bytes(listing)
    args = {"source": "/srv/x.tar", "source_hash": form.format(digest)}
    check("file.managed", "/etc/x.tar", args, root, sources={"salt://sums": listing})
    (root / "srv/x.tar").write_bytes(b"other")
    with pytest.raises(StateError, match="does not have the sha256"):
        plan(context(root, sources={"salt://sums": listing}), "file.managed", "/etc/x.tar", args)


def test_mode_keep(root: Path) -> None:
    (root / "srv").mkdir()
    (root / "srv/tool").write_bytes(b"#!")
    (root / "srv/tool").chmod(0o751)
    check("file.managed", "/etc/tool", {"source": "/srv/tool", "mode": "keep"}, root)
    assert snapshot(root)["/etc/tool"][1] == 0o751
    done = check("file.managed", "/etc/x", {"source": "salt://x", "mode": "keep"}, root, sources={"salt://x": b""})
    assert "give the mode in octal" in done.warnings[0]


class Answers(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200 if self.path == "/file" else 404)
        self.end_headers()
        self.wfile.write(b"payload")

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@pytest.fixture
def site() -> Iterator[str]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answers)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_download_is_checked_before_it_is_put_in_place(root: Path, site: str) -> None:
    digest = hashlib.sha256(b"payload").hexdigest()
    check("file.managed", "/etc/file", {"source": f"{site}/file", "source_hash": f"sha256={digest}"}, root)
    assert (root / "etc/file").read_bytes() == b"payload"
    ctx = context(root)
    wrong = plan(ctx, "file.managed", "/etc/file", {"source": f"{site}/file", "source_hash": f"sha256={'0' * 64}"})
    with pytest.raises(StateError, match=f"has the sha256 {digest}"):
        wrong.actions[0].perform()
    gone = plan(ctx, "file.managed", "/etc/no", {"source": f"{site}/no", "source_hash": f"sha256={'0' * 64}"})
    with pytest.raises(UnreachableError, match="cannot fetch"):
        gone.actions[0].perform()
    assert (root / "etc/file").read_bytes() == b"payload"
    assert list((ctx.state_dir / "downloads").iterdir()) == []


@given(st.binary(max_size=64) | st.none(), st.binary(max_size=64), st.sampled_from([None, "600", "0644"]))
def test_any_content_over_any_other(
    tmp_path_factory: pytest.TempPathFactory, old: bytes | None, new: bytes, mode: str | None
) -> None:
    root = tmp_path_factory.mktemp("any") / "root"
    root.mkdir()
    if old is not None:
        (root / "file").write_bytes(old)
    done = check("file.managed", "/file", {"contents": new, **({"mode": mode} if mode else {})}, root)
    assert (root / "file").read_bytes() == new
    assert ("content" in {change.aspect for change in done.changes}) == (old != new)
