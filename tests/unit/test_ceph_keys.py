"""cephx keys and keyring files are made and read as Ceph does, and never show themselves."""

import base64
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.errors import ArgumentError, StateError
from protocol.secrets import UNKNOWN, Scrubber, Secret
from states.ceph import keys
from states.ceph.keys import Entry

ADMIN = """\
[client.admin]
\tkey = AQAr1/9qhi+eEBAAWaFy4ZWFsDxRl7DZDROTlg==
\tcaps mds = "allow *"
\tcaps mon = "allow *"
"""


def test_a_new_key_is_laid_out_as_cephs() -> None:
    key = keys.generate(1_700_000_000.5)
    kind, seconds, nanoseconds, length = struct.unpack("<HIIH", base64.b64decode(key.reveal())[:12])
    assert (kind, seconds, nanoseconds, length) == (1, 1_700_000_000, 0, 16)
    assert len(base64.b64decode(key.reveal())) == 28


def test_new_keys_differ_and_every_egress_hides_them_unasked() -> None:
    made = {keys.generate(1_700_000_000).reveal() for _ in range(100)}
    assert len(made) == 100
    assert Scrubber().text(" ".join(made)).replace("*** ", "") == "***"


def test_a_keyring_is_read_and_written_as_ceph_authtool_does() -> None:
    held = keys.parse(ADMIN)
    assert held["client.admin"].caps == {"mds": "allow *", "mon": "allow *"}
    assert held["client.admin"].key.reveal() == "AQAr1/9qhi+eEBAAWaFy4ZWFsDxRl7DZDROTlg=="
    assert keys.render(held).reveal() == ADMIN
    assert "AQAr" not in f"{held} {keys.render(held)}"


entities = st.from_regex(r"(mon|(client|osd|mds|mgr)\.[a-z][a-z0-9._-]{0,10})\.?", fullmatch=True)
capabilities = st.dictionaries(st.sampled_from(["mon", "osd", "mds", "mgr"]), st.sampled_from(["allow *", "allow r"]))


@given(st.dictionaries(entities, capabilities, max_size=4))
def test_what_is_written_is_read_again(wanted: dict[str, dict[str, str]]) -> None:
    keyring = {entity: Entry(keys.generate(1.0), caps) for entity, caps in wanted.items()}
    assert keys.parse(keys.render(keyring).reveal()) == keyring


def test_comments_blanks_and_entities_without_a_key_are_no_matter() -> None:
    assert keys.parse("# made by hand\n\n[client.x]\n  key=AQxx\n[client.y]\n") == {"client.x": Entry(Secret("AQxx"))}


@pytest.mark.parametrize("text", ["garbage", "key = before any section", "[client.x]\nno setting"])
def test_what_is_no_keyring_is_an_error_that_does_not_show_it(text: str) -> None:
    with pytest.raises(StateError) as caught:
        keys.parse(text, "/etc/ceph/x.keyring")
    assert "/etc/ceph/x.keyring" in str(caught.value)
    assert "garbage" not in str(caught.value)


@given(st.text(max_size=60))
def test_any_text_is_a_keyring_or_a_state_error(text: str) -> None:
    try:
        keys.parse(text)
    except StateError:
        return


def test_a_key_that_is_none_is_refused_without_being_shown() -> None:
    with pytest.raises(ArgumentError) as caught:
        keys.check_key("no key at all", "client.nova")
    assert "client.nova" in str(caught.value)
    assert "no key at all" not in str(caught.value)


def test_what_only_a_real_run_can_tell_passes_as_a_key() -> None:
    assert keys.is_unknown(keys.check_key(Secret(UNKNOWN), "client.nova"))


@pytest.mark.parametrize("entity", ["client.cinder-backup", "mon.", "osd.3", "mgr.mon1.example.com"])
def test_entities_are_known_by_their_form(entity: str) -> None:
    assert keys.check_entity(entity) == entity


@pytest.mark.parametrize("entity", ["cinder", "client.", "client.a b", "user.x", "--help", "client.x\n"])
def test_other_names_are_no_entities(entity: str) -> None:
    with pytest.raises(ArgumentError):
        keys.check_entity(entity)


def test_capabilities_are_compared_without_regard_to_blanks() -> None:
    assert keys.same_caps({"osd": "allow r,allow  w"}, {"osd": "allow r, allow w"})
    assert not keys.same_caps({"osd": "allow r"}, {"osd": "allow r", "mon": "allow r"})
