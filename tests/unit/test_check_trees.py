"""The check of trees: nothing that a tree may hold makes it fail; limits end what does not end; old forms in text."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from master.check.check import Tree, check_tree
from master.check.findings import Finding
from master.check.samples import Guesses, sampled
from master.check.samples import given as given_sample
from master.check.text import included_names, scanned
from tests.unit.compiler_tree import write

DEBIAN = sampled(("debian",))


def _codes(folder: Path, **more: float) -> list[str]:
    report = check_tree(Tree((folder,), seconds=more.get("seconds", 5.0)), DEBIAN)
    return [finding.code for finding in report.findings.all()]


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("{% for a in range(100000) %}{% for b in range(100000) %}{% endfor %}{% endfor %}", "processor time"),
        ("{% set x = 'x' * 3000000000 %}{{ x }}", "memory"),
    ],
)
def test_a_template_without_end_is_a_finding(tmp_path: Path, text: str, part: str) -> None:
    write(tmp_path, {"a.sls": text, "b.sls": "x:\n  pkg.instaled: []\n"})
    report = check_tree(Tree((tmp_path,), seconds=0.5), DEBIAN)
    first, second = report.findings.all()
    assert (first.file, first.severity) == (str(tmp_path / "a.sls"), "error")
    assert part in first.message
    assert second.code == "state.unknown"


PIECES = st.sampled_from(
    """include:
  - a
- .b
x:
  pkg.installed:
    - name: y
    - require:
      - pkg: x
  test.nop: []
{{ pillar.x }}
{% if grains.os %}
{% endif %}
extend:
exclude: [a]
\t:
- [
{
#!py
y: 5
    - names: [a, {b: [c]}]
  - 5
~:
    - password: hunter22
&a *a""".splitlines(keepends=True)
)


@settings(deadline=None, max_examples=60)
@given(
    st.dictionaries(
        st.sampled_from(["a.sls", "b.sls", "c/init.sls", "top.sls"]), st.lists(PIECES, max_size=10).map("".join)
    )
)
def test_whatever_a_tree_holds_findings_have_a_place(files: dict[str, str]) -> None:
    with TemporaryDirectory() as folder:
        write(Path(folder), files)
        report = check_tree(Tree((Path(folder),)), DEBIAN)
        for finding in report.findings.all():
            assert Path(finding.file).is_file()
            assert "hunter22" not in finding.text()


def _scanned(line: str, file: str = "a.sls") -> list[Finding]:
    return list(scanned(file, line, states=True))


@pytest.mark.parametrize(
    "line",
    [
        "- password: {{ pillar.x }}", "- password: ''", "# password: hunter2", "- password_file: /etc/x",
        "- token: null", "- secret: salt://x", "- passwd: '*'", "- public_key: ssh-rsa AAAA",
        "- key: net.ipv4.ip_forward",
        "url: http://{{ u }}:{{ p }}@db/", "{% set password = pillar.get('password') %}", "- password: |",
    ],
)  # fmt: skip
def test_what_is_no_secret_is_not_told(line: str) -> None:
    assert _scanned(line) == []


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("- password: correct-horse", "secret.literal"),
        ("  db_password: 'x1!y2?'", "secret.literal"),
        ('{%- set admin_token = "abcdefgh" -%}', "secret.literal"),
        ("connection: amqp://guest:rabbit99@mq:5672/", "secret.literal"),
        ("- password: $6$saltsalt$Zm9vYmFyYmF6cXV4", "secret.key"),
        ("-----BEGIN OPENSSH PRIVATE KEY-----", "secret.key"),
        ("token hvs.AAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", "secret.key"),
        ("{% if x.has_key('a') %}", "py2"),
        ("{% set mode = 0644 %}", "py2"),
        ("- source: salt://a?env=dev", "deprecated"),
    ],
)
def test_what_a_line_tells(line: str, code: str) -> None:
    (finding,) = _scanned(line)
    assert finding.code == code
    assert not any(secret in finding.text() for secret in ("horse", "x1!y2?", "abcdefgh", "rabbit99", "Zm9v"))


def test_includes_that_are_written_out() -> None:
    text = "include:\n  - a\n{% if x %}\n  - 'b.c'  # why\n{% endif %}\n  - {{ y }}\n\nz:\n  - no\n"
    assert list(included_names(text)) == [(2, "a"), (4, "b.c")]


def test_samples_fill_up_what_a_person_leaves_out() -> None:
    sample = given_sample({"id": "osd1", "os_family": "RedHat", "roles": ["osd"]}, "file")
    assert (sample.id, sample.grains["os"], sample.grains["roles"]) == ("osd1", "CentOS", ["osd"])
    assert {each.grains["os_family"] for each in sampled()} == {"Debian", "RedHat", "Suse"}


def test_guesses_fit_the_question() -> None:
    guesses = Guesses()
    questions = ("file.file_exists", "cmd.retcode", "cmd.run", "network.ip_addrs", "mine.get", "pkg.list_pkgs")
    assert [guesses.function(name, (), {}) for name in questions] == [False, 1, "", [], {}, {}]
    assert guesses.asked == set(questions)
