"""Entries of apt are read and edited so that comments and the entries of others stay as they are."""

from __future__ import annotations

from itertools import product

import pytest

from protocol.errors import ArgumentError, StateError
from states.host import apt_sources
from states.host.apt_sources import Line

CONTENT = """\
# the archive
deb http://deb.debian.org/debian bookworm main contrib # stable
# deb-src http://deb.debian.org/debian bookworm main
deb [arch=amd64 signed-by=/etc/apt/keyrings/x.gpg] https://x.example/ ./

# deb is a word here
"""
STANZAS = """\
# ours
Types: deb deb-src
URIs: http://deb.debian.org/debian
Suites: bookworm bookworm-updates
Components: main
 contrib
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg

Types: deb
URIs: https://x.example/
Suites: ./
"""


def test_lines_are_parsed() -> None:
    parsed = [apt_sources.parse_line(line) for line in CONTENT.splitlines()]
    assert parsed == [
        None,
        Line("deb", "http://deb.debian.org/debian", "bookworm", ("main", "contrib")),
        Line("deb-src", "http://deb.debian.org/debian", "bookworm", ("main",), enabled=False),
        Line("deb", "https://x.example/", "./", (), {"arch": "amd64", "signed-by": "/etc/apt/keyrings/x.gpg"}),
        None,
        None,
    ]
    for line in filter(None, parsed):
        assert apt_sources.parse_line(line.text()) == line


def test_an_entry_is_replaced_in_its_place() -> None:
    wanted = Line("deb", "http://deb.debian.org/debian/", "bookworm", ("main",))
    new = apt_sources.put_line(CONTENT, wanted)
    assert new == CONTENT.replace(
        "deb http://deb.debian.org/debian bookworm main contrib # stable",
        "deb http://deb.debian.org/debian/ bookworm main",
    )
    assert apt_sources.put_line(new, wanted) == new


def test_an_entry_that_means_the_same_stays_as_it_is_written() -> None:
    same = Line("deb", "http://deb.debian.org/debian", "bookworm", ("contrib", "main"))
    assert apt_sources.put_line(CONTENT, same) == CONTENT


def test_a_switched_off_entry_is_switched_on() -> None:
    wanted = Line("deb-src", "http://deb.debian.org/debian", "bookworm", ("main",))
    assert "\ndeb-src http://deb.debian.org/debian bookworm main\n" in apt_sources.put_line(CONTENT, wanted)


def test_a_new_entry_goes_to_the_end_or_stands_alone() -> None:
    wanted = Line("deb", "file:/repo", "./")
    assert apt_sources.put_line(CONTENT, wanted) == CONTENT + "deb file:/repo ./\n"
    assert apt_sources.put_line(CONTENT, wanted, clean=True) == "deb file:/repo ./\n"


def test_an_entry_is_dropped() -> None:
    dropped = apt_sources.drop_lines(CONTENT, ("deb", "https://x.example", "."))
    assert "x.example" not in dropped
    assert dropped.count("\n") == CONTENT.count("\n") - 1


def test_stanzas_are_parsed_replaced_and_dropped() -> None:
    first = apt_sources.parse_stanza(STANZAS.split("\n\n")[0])
    assert first["Components"] == ("main", "contrib")
    assert first["URIs"] == ("http://deb.debian.org/debian",)
    assert apt_sources.put_stanza(STANZAS, first) == STANZAS
    changed = apt_sources.put_stanza(STANZAS, {**first, "Components": ("main",)})
    assert changed.startswith("# ours\nTypes: deb deb-src\n")
    assert "Components: main\nSigned-By" in changed
    assert apt_sources.put_stanza(changed, {**first, "Components": ("main",)}) == changed
    added = apt_sources.put_stanza(STANZAS, {"Types": ["deb"], "URIs": ["file:/repo"], "Suites": ["./"]})
    assert added == STANZAS + "\nTypes: deb\nURIs: file:/repo\nSuites: ./\n"


def test_a_stanza_is_dropped_only_when_it_is_wholly_unwanted() -> None:
    uri = "http://deb.debian.org/debian"
    some = [("deb", uri, "bookworm")]
    assert apt_sources.drop_stanzas(STANZAS, some) == STANZAS
    every = product(("deb", "deb-src"), (uri,), ("bookworm", "bookworm-updates"))
    assert apt_sources.drop_stanzas(STANZAS, every) == "Types: deb\nURIs: https://x.example/\nSuites: ./\n"


def test_whether_entries_are_left() -> None:
    assert apt_sources.has_entries(CONTENT, deb822=False)
    assert not apt_sources.has_entries("# deb file:/x ./\n\n", deb822=False)
    assert apt_sources.has_entries(STANZAS, deb822=True)
    assert not apt_sources.has_entries("# nothing\n", deb822=True)


@pytest.mark.parametrize("text", ["", "deb", "deb http://x", "deb http://x suite", "rpm http://x a b", "http://x a b"])
def test_what_is_no_entry_is_refused(text: str) -> None:
    with pytest.raises(ArgumentError, match="is not an entry"):
        apt_sources.required_line(text)


@pytest.mark.parametrize(
    ("entry", "prefix"),
    [
        ("deb http://deb.debian.org/debian bookworm main", "deb.debian.org_debian_dists_bookworm_"),
        ("deb https://u:p@x.example/a_b/ stable/lts main", "x.example_a%5fb_dists_stable_lts_"),
        ("deb file:/repo ./", "_repo_._"),
        ("deb cdrom:[x]/ bookworm main", ""),
    ],
)
def test_how_the_names_of_lists_begin(entry: str, prefix: str) -> None:
    assert apt_sources.lists_prefix(apt_sources.required_line(entry)) == prefix


def test_file_names() -> None:
    assert apt_sources.file_name("Ceph Reef (upstream)") == "Ceph-Reef-upstream"
    with pytest.raises(StateError):
        apt_sources.file_name("…")
