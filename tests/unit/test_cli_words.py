"""The words of a command line: arguments, pillar, spans of time, node sets, exit codes."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from master.cli import arguments, exits, nodeset
from protocol.errors import InputError


@pytest.mark.parametrize(
    ("word", "meant"),
    [
        ("5", 5),
        ("-3", -3),
        ("1.5", 1.5),
        ("true", True),
        ("null", None),
        ("None", None),
        ("", ""),
        ("uptime", "uptime"),
        ("[a, 1]", ["a", 1]),
        ("{a: {b: 2}}", {"a": {"b": 2}}),
        # what YAML would change without being asked stays text
        ("0644", "0644"),
        ("1.10", "1.10"),
        ("1_000", "1_000"),
        ("12:30", "12:30"),
        ("2024-01-02", "2024-01-02"),
        ("a: b", "a: b"),
        ("- a", "- a"),
        ("# x", "# x"),
        ("!", "!"),
        ("|", "|"),
        ("one\ntwo", "one\ntwo"),
        ("[broken", "[broken"),
        ("echo '#1'", "echo '#1'"),
        (".inf", ".inf"),
    ],
)
def test_a_word_is_read_as_yaml_where_nothing_is_lost(word: str, meant: object) -> None:
    found = arguments.value(word)
    assert found == meant
    assert type(found) is type(meant)


def test_keywords_and_positions_are_told_apart() -> None:
    assert arguments.split(["a", "k=1", "x==y", "path=/a=b", "2"]) == (("a", "x==y", 2), {"k": 1, "path": "/a=b"})


@given(st.text())
def test_any_text_gives_plain_data(word: str) -> None:
    json.dumps(arguments.value(word))


@given(st.integers())
def test_integers_stay_integers(number: int) -> None:
    assert arguments.value(str(number)) == number


def test_pillar_comes_from_words_mappings_and_files(tmp_path: Path) -> None:
    file = tmp_path / "p.yaml"
    file.write_text(yaml.safe_dump({"ceph": {"fsid": "x", "nodes": [1]}}))
    words = [f"@{file}", '{"ceph": {"fsid": "y"}}', "ceph:net=10.0.0.0/8", "debug=true"]
    assert arguments.pillar(words) == {"ceph": {"fsid": "y", "nodes": [1], "net": "10.0.0.0/8"}, "debug": True}


@pytest.mark.parametrize("words", [["loose"], ["{a"], ["@/does/not/exist"], ["=x"]])
def test_pillar_that_is_none_is_refused_with_advice(words: list[str]) -> None:
    with pytest.raises(InputError) as caught:
        arguments.pillar(words)
    assert caught.value.help or str(caught.value.where)


def test_a_broken_pillar_file_is_told_with_its_line(tmp_path: Path) -> None:
    file = tmp_path / "p.yaml"
    file.write_text("a: 1\nb: [1,\n")
    with pytest.raises(InputError) as caught:
        arguments.pillar([f"@{file}"])
    assert str(caught.value.where).startswith(f"{file}:")


@pytest.mark.parametrize(("text", "seconds"), [("90", 90), ("90s", 90), ("10m", 600), ("2h", 7200), ("0.5d", 43200)])
def test_spans_of_time(text: str, seconds: float) -> None:
    assert arguments.seconds(text) == seconds


def test_a_span_that_is_none_is_refused() -> None:
    with pytest.raises(InputError):
        arguments.seconds("soon")


@pytest.mark.parametrize(
    ("ids", "folded"),
    [
        ([], ""),
        (["mon"], "mon"),
        (["osd1"], "osd1"),
        (["osd1", "osd2", "osd3", "osd5"], "osd[1-3,5]"),
        (["osd01", "osd02", "osd10"], "osd[01-02,10]"),
        (["osd001", "osd1", "osd100"], "osd1,osd[001,100]"),
        (["osd8", "osd9", "osd10"], "osd[8-10]"),
        (["a1.x", "a2.x", "b"], "a[1-2].x,b"),
        (["r1n1", "r1n2", "r2n1"], "r1n[1-2],r2n1"),
    ],
)
def test_ids_are_folded(ids: list[str], folded: str) -> None:
    assert nodeset.fold(ids) == folded


@given(st.sets(st.from_regex(r"\A(osd|r1n|mon)[0-9]{1,3}(\.x)?\Z"), max_size=40))
def test_folding_loses_nobody(ids: set[str]) -> None:
    assert unfold(nodeset.fold(ids)) == ids


def unfold(text: str) -> set[str]:
    """The ids of a folded text, by another way than the one that folds."""
    names: set[str] = set()
    for part in re.findall(r"[^,\[]+(?:\[[^\]]*\][^,]*)?", text):
        match = re.fullmatch(r"(.*)\[(.*)\](.*)", part)
        if match is None:
            names.add(part)
            continue
        for piece in match[2].split(","):
            first, _, last = piece.partition("-")
            for number in range(int(first), int(last or first) + 1):
                names.add(f"{match[1]}{number:0{len(first) if first.startswith('0') else 0}d}{match[3]}")
    return names


def test_a_long_set_says_how_many_it_holds() -> None:
    names = [f"host{chr(97 + at)}x" for at in range(26)]
    assert nodeset.short(names, 20).endswith("(26)")
    assert len(nodeset.short(names, 20)) < 30


@pytest.mark.parametrize(
    ("states", "timed", "code"),
    [
        ([], False, exits.DONE),
        (["succeeded"], False, exits.DONE),
        (["failed", "lost", "refused"], False, exits.FAILED),
        (["timed out"], False, exits.SILENT),
        (["timed out"], True, exits.TIMEOUT),
        (["lost"], True, exits.SILENT),
        (["running"], False, exits.SILENT),
        (["refused", "cancelled"], False, exits.REFUSED),
        (["cancelled", "succeeded"], False, exits.UNABLE),
    ],
)
def test_exit_codes_of_jobs(states: list[str], timed: bool, code: int) -> None:
    assert exits.of_job(states, timed=timed) == code


@pytest.mark.parametrize(
    ("state", "minions", "code"),
    [
        ("succeeded", ["failed"], exits.DONE),
        ("cancelled", [], exits.UNABLE),
        ("failed", [], exits.FAILED),
        ("failed", ["failed", "lost"], exits.FAILED),
        ("failed", ["succeeded", "lost"], exits.SILENT),
        ("failed", ["refused"], exits.REFUSED),
    ],
)
def test_exit_codes_of_runs(state: str, minions: list[str], code: int) -> None:
    assert exits.of_run(state, minions) == code
