from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from protocol.errors import SlsError
from tests.unit.compiler_tree import chunks, compiled, rendered


@pytest.mark.parametrize(
    ("expression", "text"),
    [
        ("{'b': [1, true], 'a': none} | json", '{"a": null, "b": [1, true]}'),
        ("{'b': [1, true], 'a': none} | yaml", "{a: null, b: [1, true]}"),
        ("{'b': 1} | yaml(False)", "b: 1"),
        ("'a: [1, 2]' | load_yaml | json", '{"a": [1, 2]}'),
        ("'[1]' | load_json", "[1]"),
        ("'it\\'s' | yaml_dquote", '"it\'s"'),
        ("'a: b' | yaml_squote", "'a: b'"),
        ("'a: b' | yaml_encode", '"a: b"'),
        ("['yes', '1', 1, 'no', 0, [], [0]] | map('to_bool') | list", "[True, True, True, False, False, False, True]"),
        ("[1, 2, 1] | unique", "[1, 2]"),
        ("'x' | sequence", "['x']"),
        ("{'a': {'b': [5]}} | traverse('a:b:0')", "5"),
        ("{'a': 1} | traverse('a:b', 'none')", "none"),
        ("'/a' | path_join('b', '/c')", "/a/b/c"),
        ("[1, 2, 3] | difference([2])", "[1, 3]"),
        ("[1, 2] | union([2, 3])", "[1, 2, 3]"),
        ("[1, 2] | intersect([2, 3])", "[2]"),
        ("[1, 2] | symmetric_difference([2, 3])", "[1, 3]"),
        ("'abc-12' | regex_search('([a-z]+)-([0-9]+)')", "('abc', '12')"),
        ("'abc' | regex_match('(b)')", "None"),
        ("'abc' | regex_replace('b', 'x')", "axc"),
        ("\"a b'\" | quote", "'a b'\"'\"''"),
        ("[1, [2, [3]]] | flatten", "[1, 2, 3]"),
        ("'10.0.0.1' | is_ipv4", "True"),
        ("['10.0.0.1', 'x', '::1'] | ipv4", "['10.0.0.1']"),
        ("'a' | sha256", "ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb"),
        ("'hi' | base64_encode", "aGk="),
        ("'aGk=' | base64_decode", "hi"),
        ("{'a': 1}.iteritems() | list", "[('a', 1)]"),
        ("{'a': 1}.has_key('a')", "True"),
        ("{'iteritems': 5}.iteritems", "5"),
        ("[] is list", "True"),
        ("'a' ~ 1 ~ none", "a1None"),
        ("salt['grains.get']('os', 'none')", "Debian"),
        ("salt.grains.get('a:b')", "7"),
        ("grains.get('missing', 'd')", "d"),
        ("grains.id", "m1"),
        ("salt['grains.filter_by']({'Debian': {'x': 1, 'y': 1}, 'base': {'z': 0}}, grain='os', base='base',"
         " merge={'y': 2}) | json", '{"x": 1, "y": 2, "z": 0}'),
        ("salt['grains.filter_by']({'default': 3}, grain='none')", "3"),
        ("salt['grains.filter_by']({'Deb*': 4}, grain='os')", "4"),
        ("salt['pillar.get']('ceph:osds:1')", "b"),
        ("salt['pillar.get']('ceph:none', 'd')", "d"),
        ("salt['pillar.get']('ceph', {'x': 1, 'size': 1}, merge=True).size", "3"),
        ("salt['config.get']('os')", "Debian"),
        ("salt['config.get']('ceph:size')", "3"),
        ("salt['config.get']('ceph', {'x': 1, 'size': 1}, merge=True).size", '3'),
        ("salt['defaults.merge']({'a': {'b': 1}}, {'a': {'c': 2}})", "{'a': {'b': 1, 'c': 2}}"),
        ("salt['slsutil.merge']({'a': [1]}, {'a': [2]}, merge_lists=True)", "{'a': [1, 2]}"),
        ("salt['match.compound']('G@os:Debian and m*')", "True"),
        ("'pillar.get' in salt", "True"),
        ("'cmd.run' in salt", "False"),
        ("opts.test", "False"),
        ("saltenv", "base"),
        ("tpldir", "."),
        ("name", "/out"),
    ],
)  # fmt: skip
def test_an_expression_gives_what_salt_gives(tmp_path: Path, expression: str, text: str) -> None:
    grains: dict[str, Any] = {"os": "Debian", "a": {"b": 7}}
    pillar = "ceph:\n  size: 3\n  osds: [a, b]\n"
    assert rendered(tmp_path, "{{ " + expression + " }}", grains=grains, pillar=pillar) == text


def test_tags_load_data_from_files_and_blocks(tmp_path: Path) -> None:
    template = (
        "{% import_yaml 'd/x.yaml' as x %}{% import_json 'd/x.json' as j %}{% import_text 'd/x.txt' as t %}"
        "{% load_yaml as y %}\na: {{ x.n }}\n{% endload %}{% do y.update({'b': j}) %}{{ y | json }}{{ t }}"
    )
    files = {"d/x.yaml": "n: {{ 1 + 1 }}\n", "d/x.json": "[1]", "d/x.txt": "text: [\n"}
    assert rendered(tmp_path, template, files=files) == '{"a": 2, "b": [1]}text: [\n'


def test_imports_see_the_context_only_with_it(tmp_path: Path) -> None:
    files = {"m.jinja": "{% set os = grains.os %}", "plain.jinja": "{% set os = grains.os %}"}
    grains = {"os": "Debian"}
    text = "{% from 'm.jinja' import os with context %}{{ os }}"
    assert rendered(tmp_path, text, files=files, grains=grains) == "Debian"
    with pytest.raises(SlsError, match="'grains' is undefined"):
        rendered(tmp_path, "{% from 'plain.jinja' import os %}{{ os }}", files=files, grains=grains)


def test_imports_may_be_relative_to_the_file(tmp_path: Path) -> None:
    files = {
        "a/b/main.sls": "{% from './m.jinja' import x %}{% from '../n.jinja' import y %}{{ x }}{{ y }}: test.nop\n",
        "a/b/m.jinja": "{% set x = 'one' %}",
        "a/n.jinja": "{% set y = 'two' %}",
    }
    assert list(chunks(tmp_path, files, sls=("a.b.main",))) == ["onetwo"]


@pytest.mark.parametrize(
    ("file", "sls", "names"),
    [
        ("a/b/init.sls", "a.b", "a.b a/b/init.sls a/b a.b a/b a:b a_b"),
        ("a/b.sls", "a.b", "a.b a/b.sls a a a a a"),
        ("b.sls", "b", "b b.sls .    "),
    ],
)
def test_a_file_knows_where_it_lies(tmp_path: Path, file: str, sls: str, names: str) -> None:
    words = "{{ [sls, tplfile, tpldir, tpldot, slspath, slscolonpath, sls_path] | join(' ') }}"
    assert next(iter(chunks(tmp_path, {file: f'"{words}": test.nop\n'}, sls=(sls,)))) == names


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("a: test.nop\n{{ nope }}\n", 2, "'nope' is undefined"),
        ("\n\n{{ pillar['cehp'] }}\n", 3, "there is no key 'cehp'; did you mean 'ceph'?"),
        ("\n{{ grains.missing.more }}\n", 2, "there is no key 'missing'"),
        ("{% if %}\n", 1, "template syntax"),
        ("\n{% from 'nofile.jinja' import x %}\n", 2, "there is no file 'nofile.jinja' to import"),
        ("\n{{ salt['cmd.run']('id') }}\n", 2, "'cmd.run'"),
        ("\n{{ salt['pillar.gett']('id') }}\n", 2, "'pillar.gett'"),
        ("\n{{ salt.cmd.shell('id') }}\n", 2, "'cmd.shell' cannot be called while rendering"),
        ("\n\n{{ 1 / 0 }}\n", 3, "ZeroDivisionError"),
        ("{{ 'a: [' | load_yaml }}\n", 1, "the text given to load_yaml:"),
        ("\n{{ raise('my words') }}\n", 2, "my words"),
        ("#!py\ndef run(): pass\n", 1, "files that are Python code are not allowed"),
        ("\n{{ ''.__class__ }}\n", 2, "unsafe"),
        ("\n{% include 'main.sls' %}\n", 2, "without end"),
    ],
)
def test_a_failing_template_names_file_and_line(tmp_path: Path, text: str, line: int, message: str) -> None:
    with pytest.raises(SlsError) as caught:
        compiled(tmp_path, text, pillar="ceph: 1\n")
    assert caught.value.where.file == "main.sls"
    assert caught.value.where.line == line
    assert message in str(caught.value)


def test_an_error_in_an_imported_file_names_that_file(tmp_path: Path) -> None:
    files = {
        "main.sls": "\n{% from 'm.jinja' import f %}\n{{ f() }}\n",
        "m.jinja": "\n{% macro f() %}\n{{ x }}{% endmacro %}",
    }
    with pytest.raises(SlsError) as caught:
        compiled(tmp_path, files)
    assert (caught.value.where.file, caught.value.where.line) == ("m.jinja", 3)


def test_a_yaml_error_leads_back_to_the_template_and_shows_the_rendered_lines(tmp_path: Path) -> None:
    text = "{% for i in range(3) %}\nid{{ i }}: test.nop\n{% endfor %}\n{# two\nlines #}\nbad: a: b\n"
    with pytest.raises(SlsError) as caught:
        compiled(tmp_path, text)
    assert (caught.value.where.file, caught.value.where.line) == ("main.sls", 6)
    assert "line 9 of the rendered text of main.sls" in caught.value.message
    assert ">    9 | bad: a: b" in caught.value.message


def test_each_chunk_knows_its_line_of_the_template(tmp_path: Path) -> None:
    text = (
        "{# one\n two #}\n{% set x = 1 %}{% if x %}\na:\n  test.nop: []\n{% endif %}\n{% for i in [1, 2] %}\n"
        "b{{ i }}:\n  test.nop: []\n{% endfor %}\nc: test.nop\n"
    )
    assert {name: chunk.line for name, chunk in chunks(tmp_path, text).items()} == {"a": 5, "b1": 9, "b2": 9, "c": 11}


def test_one_compilation_cannot_change_what_the_next_sees(tmp_path: Path) -> None:
    files = {
        "main.sls": "{% from 'm.jinja' import x %}{% do x.append(1) %}{% do grains.update({'n': 1}) %}"
        "n{{ x | length }}: test.nop\n",
        "m.jinja": "{% set x = [] %}",
    }
    grains: dict[str, Any] = {"a": [1]}
    first, second = (list(chunks(tmp_path, files, grains=grains)) for _ in range(2))
    assert first == second == ["n1"]
    assert grains == {"a": [1]}


def test_what_templates_do_to_their_context_is_not_kept(tmp_path: Path) -> None:
    text = (
        "a:\n  file.managed:\n    - name: /a\n    - source: salt://x\n    - template: jinja\n"
        "    - context: {c: [1], d: &d {e: [2]}}\n"
        "b:\n  file.managed:\n    - name: /b\n    - source: salt://x\n    - template: jinja\n"
        "    - context: {c: [1], d: *d}\n"
    )
    files = {"main.sls": text, "x": "{% do c.append(2) %}{% do d.e.append(3) %}{{ c }}{{ d }}"}
    for _ in range(2):
        (content,) = compiled(tmp_path, files).blobs.values()
        assert content == b"[1, 2]{'e': [2, 3]}"


def test_a_logged_warning_becomes_a_warning_of_the_assignment(tmp_path: Path) -> None:
    text = "{% do salt['log.warning']('old pillar') %}{% do salt['log.debug']('no') %}a: test.nop\n"
    assert compiled(tmp_path, text).warnings == ("old pillar",)
