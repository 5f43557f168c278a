"""What minions report is data (T19), and parser bombs are refused (T20)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from protocol.errors import SlsError
from tests.unit.compiler_tree import chunks, compiled

HOSTILE = [
    "{{ 7 * 7 }}",
    "{% for i in range(9) %}x{% endfor %}",
    "{# gone #}",
    "x\nevil:\n  cmd.run:\n    - name: id",
    "x\n    - user: evil",
    "x\r\n- y: z",
    "x: y",
    "x #y",
    "'",
    '"',
    "'\n- name: evil",
    '", evil: "',
    "]",
    "}, evil: {a: b",
    "[a, b]",
    "{a: b}",
    "!!python/object/apply:os.system [id]",
    "&a [*a]",
    "*a",
    "<<",
    "| \n x",
    "> x",
    "- x",
    "? x",
    "%TAG",
    "@x",
    "`x`",
    "---\nevil: test.nop",
    "...",
    "\\x41",
    "x\x85y",
    "x\u2028evil: y",
    "\ufeffx",
    "  padded  ",
    "x:",
    "${steps.a.b.c}",
    "salt://../../etc/passwd {{ 1 }}",
]

FORMS = [
    "a:\n  file.managed:\n    - contents: {{ grains.x }}\n",
    "a:\n  file.managed:\n    - contents: '{{ grains['x'] }}'\n",
    "a:\n  file.managed:\n    - contents: \"{{ grains.get('x') }}\"\n",
    "a:\n  file.managed: [ {user: root}, {contents: {{ salt['grains.get']('x') }} } ]\n",
    "a:\n  file.managed: [ {contents: '{{ salt.grains.get('x') }}'} ]\n",
    "a:\n  file.managed:\n    - contents: {{ grains.list[0] }}\n",
    "a:\n  file.managed:\n    - contents: {{ grains.list | first }}\n",
    "{% for k, v in grains.deep.items() %}\na:\n  file.managed:\n    - contents: {{ v }}\n{% endfor %}\n",
    "{% set x = grains.x %}\na:\n  file.managed:\n    - contents: {{ x | default('y') }}\n",
    "{% macro m(v) %}a:\n  file.managed:\n    - contents: {{ v }}\n{% endmacro %}{{ m(grains.x) }}\n",
    "{% load_yaml as d %}\nx: {{ grains.x }}\n{% endload %}\na:\n  file.managed:\n    - contents: {{ d.x }}\n",
    "{% set d = {'x': grains.x} %}\na:\n  file.managed:\n    - contents: {{ d['x'] }}\n",
    "a:\n  file.managed:\n    - contents: {{ salt['config.get']('x') }}\n",
    "a:\n  file.managed:\n    - contents: {{ grains.x | json }}\n",
    "a:\n  file.managed:\n    - contents: {{ grains.x | yaml_dquote }}\n",
    "{% import_yaml 'data.yaml' as d with context %}\na:\n  file.managed:\n    - contents: {{ d.x }}\n",
    "a:\n  file.managed:\n    - contents: {{ pillar.x }}\n",
    "a:\n  file.managed:\n    - contents_pillar: x\n",
    "a:\n  file.managed:\n    - template: jinja\n    - contents: {{ grains.x }}\n",
]

MADE = [
    ("{{ 'a-' ~ grains.x }}", "a-{}"),
    ("{{ grains.x ~ '-' ~ grains.x }}", "{}-{}"),
    ("{{ 'a-' + grains.x + '-b' }}", "a-{}-b"),
    ("{{ 'a-%s' % grains.x }}", "a-{}"),
    ("{{ 'a-%s-%s' % ('b', grains.x) }}", "a-b-{}"),
    ("{{ 'a-%s' | format(grains.x) }}", "a-{}"),
    ("{{ 'a-{0}'.format(grains.x) }}", "a-{}"),
    ("{{ ['a', grains.x] | join('-') }}", "a-{}"),
    ("{{ '-'.join(['a', grains.x]) }}", "a-{}"),
    ("{{ grains.x | replace('nothing', 'x') }}", "{}"),
    ("{{ grains.x.replace('nothing', 'x') }}", "{}"),
    ("{{ grains.x[:] }}", "{}"),
    ("{{ grains.x | string | trim('nothing') }}", "{}"),
    ("{{ grains.x | list | join('') }}", "{}"),
    ("{{ [grains.x] | map('string') | first }}", "{}"),
    ("{{ (grains.x * 2)[: grains.x | length] }}", "{}"),
    ("{{ salt['defaults.merge']({}, {'x': grains.x}).x }}", "{}"),
    ("{{ salt['grains.filter_by']({'default': {'x': 1}}, merge={'x': grains.x}).x }}", "{}"),
]  # fmt: skip


def _grains(text: str) -> dict[str, Any]:
    return {"x": text, "list": [text], "deep": {"k": text}}


def _check_one(tmp_path: Path, form: str, text: str, content: str) -> None:
    files = {"main.sls": form, "data.yaml": "x: {{ grains.x }}\n"}
    pillar = "x: {{ grains.x }}\n"
    found = chunks(tmp_path, files, grains=_grains(text), pillar=pillar)
    assert list(found) == ["a"]
    assert found["a"].args["contents"] == content
    assert found["a"].function == "file.managed"
    assert set(found["a"].args) <= {"contents", "user"}


@pytest.mark.parametrize("text", HOSTILE)
@pytest.mark.parametrize("form", FORMS)
def test_a_hostile_grain_comes_out_literally(tmp_path: Path, form: str, text: str) -> None:
    _check_one(tmp_path, form, text, text)


@pytest.mark.parametrize("text", HOSTILE)
@pytest.mark.parametrize(("expression", "result"), MADE)
def test_what_is_made_of_a_hostile_grain_comes_out_literally(
    tmp_path: Path, expression: str, result: str, text: str
) -> None:
    form = f"a:\n  file.managed:\n    - contents: {expression}\n"
    _check_one(tmp_path, form, text, result.replace("{}", text))


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(text=st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12), form=st.sampled_from(FORMS[:3]))
def test_any_grain_stays_within_its_scalar(tmp_path: Path, text: str, form: str) -> None:
    found = chunks(tmp_path, {"main.sls": form, "data.yaml": ""}, grains=_grains(text), pillar="x: 1\n")
    assert list(found) == ["a"]
    assert set(found["a"].args) == {"contents"}


@pytest.mark.parametrize("text", HOSTILE)
def test_a_hostile_grain_as_an_id_is_one_id(tmp_path: Path, text: str) -> None:
    form = "{{ grains.x }}:\n  test.nop: []\nb:\n  test.nop:\n    - require:\n      - test: {{ grains.x }}\n"
    found = compiled(tmp_path, form, grains=_grains(text)).assignment.chunks
    assert [chunk.id for chunk in found] == [text, "b"]
    assert found[1].requisites[0].targets == (0,)


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_grains_in_containers_are_printed_as_containers(tmp_path: Path, text: str) -> None:
    form = "a:\n  file.managed:\n    - contents: {{ grains.list }}\n"
    form += "b:\n  file.managed:\n    - contents: {{ grains.deep }}\n"
    found = chunks(tmp_path, form, grains=_grains(text))
    assert found["a"].args["contents"] == [text]
    assert found["b"].args["contents"] == {"k": text}


@pytest.mark.parametrize("text", HOSTILE)
def test_a_hostile_grain_in_a_rendered_file_is_text(tmp_path: Path, text: str) -> None:
    files = {
        "main.sls": (
            "a:\n  file.managed:\n    - name: /a\n    - source: salt://x\n    - template: jinja\n"
            "    - context:\n        c: {{ grains.x }}\n"
        ),
        "x": "<{{ grains.x }}|{{ c }}>",
    }
    (content,) = compiled(tmp_path, files, grains=_grains(text)).blobs.values()
    assert content == f"<{text}|{text}>".encode()


@pytest.mark.parametrize("text", HOSTILE)
def test_a_hostile_override_value_is_data(tmp_path: Path, text: str) -> None:
    found = chunks(tmp_path, "a:\n  file.managed:\n    - contents: {{ pillar.x }}\n", pillar_override={"x": text})
    assert found["a"].args == {"contents": text}


@pytest.mark.parametrize("value", ["Debian GNU/Linux 12", "Intel(R) Xeon(R) CPU E5-2670 v3 @ 2.30GHz", "12", "fe80::1"])
def test_ordinary_grains_are_printed_as_on_salt(tmp_path: Path, value: str) -> None:
    form = "a:\n  file.managed:\n    - contents: [{{ grains.list | join(', ') }}]\n"
    found = chunks(tmp_path, form, grains={"list": [value, "b"]})
    assert [str(item) for item in found["a"].args["contents"]] == [value, "b"]  # type: ignore[union-attr]


def test_a_minion_cannot_report_another_id(tmp_path: Path) -> None:
    found = chunks(tmp_path, "{{ grains.id }}-{{ opts.id }}: test.nop\n", grains={"id": "master"})
    assert list(found) == ["m1-m1"]


def test_a_grain_does_not_choose_a_file_outside_the_roots(tmp_path: Path) -> None:
    (tmp_path / "secret.sls").write_text("evil: test.nop\n")
    (tmp_path / "secret.conf").write_text("evil")
    for text in ("../secret", "/etc/passwd", str(tmp_path / "secret"), "x/../../secret"):
        for form in (
            "include: ['{{ grains.x }}']\n",
            "a:\n  file.managed:\n    - source: salt://{{ grains.x }}.conf\n",
            "{% include grains.x ~ '.sls' %}",
            "{% import_text grains.x ~ '.conf' as x %}",
        ):
            with pytest.raises(SlsError, match=r"there is no|leads above"):
                compiled(tmp_path, form, grains={"x": text})


ESCAPES = [
    "''.__class__.__mro__[1].__subclasses__()",
    "''['__class__']",
    "'' | attr('__class__')",
    "'{0.__class__.__mro__}'.format('')",
    "'{x.__class__}'.format_map({'x': ''})",
    "('{0.__class__}' | attr('format'))('')",
    "('{0.__class__}' | string).format('')",
    "self.__init__.__globals__",
    "self._TemplateReference__context",
    "cycler.__init__.__globals__.os.popen('id')",
    "joiner.__init__.__globals__",
    "namespace.__init__.__globals__",
    "salt.__class__",
    "salt._functions",
    "salt['grains.get'].__self__",
    "salt['grains.get'].__func__.__globals__",
    "salt['defaults.deepcopy'].__globals__",
    "salt.grains.__class__",
    "range.__self__",
    "[].__class__.__base__.__subclasses__()",
    "(1).__class__",
    "{}.__class__.__init__",
    "grains.__class__",
    "pillar.get.__self__.__class__",
    "raise.__globals__",
    "dict.mro()",
    "dict.__subclasses__()",
    "().__reduce_ex__(2)",
]


@pytest.mark.parametrize("expression", ESCAPES)
def test_the_sandbox_holds(tmp_path: Path, expression: str) -> None:
    with pytest.raises(SlsError, match=r"main\.sls:2: "):
        compiled(tmp_path, "\n{{ " + expression + " }}\n")


def test_a_sandboxed_value_is_of_no_use_as_text(tmp_path: Path) -> None:
    """Some escapes only give an undefined value or a harmless name: nothing that could be called."""
    with pytest.raises(SlsError):
        compiled(tmp_path, "{{ lipsum }}\n")


@pytest.mark.parametrize(
    "text",
    [
        "a: &a [*a]\n",
        "a: " + "[" * 5000,
        "a: {{ '[' * 100000 }}\n",
        "{% for i in range(30) %}a{{ i }}: &a{{ i }} [{% for j in range(9) %}*a{{ i - 1 }},{% endfor %}]\n{% endfor %}",
        "a0: &a0 [x]\n{% for i in range(1, 12) %}a{{ i }}: &a{{ i }} [{{ ('*a' ~ (i - 1) ~ ', ') * 9 }}]\n{% endfor %}",
        "a: !!python/object/apply:os.system ['touch /tmp/owned']\n",
        "a: {{ '9' * 100000 }}\n",
        "a: test.nop\na: test.nop\n",
        "x: &x\n  <<: *x\n",
        "{% for i in range(200) %}{{ '  ' * i }}a:\n{% endfor %}",
        "{{ 'x' * 20000000 }}: y\n",
    ],
    ids=range(11),
)
def test_a_bomb_in_a_tree_is_refused_with_its_place(tmp_path: Path, text: str) -> None:
    with pytest.raises(SlsError) as caught:
        compiled(tmp_path, text)
    assert caught.value.where.file == "main.sls"
    assert len(str(caught.value)) < 5000
