"""Recorded reads: what is taken over from another minion is what rendering would have given."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from master.compiler.compile import compile_assignment, compile_pillar, compile_recorded, pillar_recorded
from master.compiler.pool import AsyncAnswers, Pool
from master.compiler.reads import Reads, Recorded, frozen
from master.compiler.recall import Recall, Shape
from master.compiler.recalling import Recalling
from master.compiler.request import Compiled, CompilerOptions, Request, Roots
from master.compiler.watched import Watched, look
from protocol.data import Data
from protocol.errors import SlsError
from tests.unit.compiler_tree import write


class Counted:
    """A pool that compiles here and counts."""

    width = 2

    def __init__(self) -> None:
        self.count = 0

    async def compile_recorded(self, request: Request, _answers: AsyncAnswers) -> tuple[Compiled, Recorded]:
        self.count += 1
        await asyncio.sleep(0)
        return compile_recorded(request)

    async def pillar_recorded(self, request: Request, _answers: object) -> tuple[Mapping[str, Data], Recorded]:
        self.count += 1
        return pillar_recorded(request)


def recalling() -> tuple[Recalling, Counted]:
    pool = Counted()
    return Recalling(cast(Pool, pool)), pool


def made_request(tmp_path: Path, minion: str, grains: Mapping[str, Data], sls: tuple[str, ...] = ()) -> Request:
    roots = Roots({"base": (tmp_path / "states",)}, {"base": (tmp_path / "pillar",)}, formulas=False)
    return Request(minion, grains, roots, sls, options=CompilerOptions(strict_requisites=False))


def told(result: Any) -> Any:
    """Everything that a compilation gives, or its error."""
    if isinstance(result, SlsError):
        return str(result)
    return result.assignment.encoded(), dict(result.blobs), result.pillar, result.warnings


async def outcomes(compiler: Recalling, requests: list[Request]) -> list[Any]:
    found = await asyncio.gather(*(compiler.compile(request) for request in requests), return_exceptions=True)
    return [told(each) for each in found]


def uncached(request: Request) -> Any:
    try:
        return told(compile_assignment(request))
    except SlsError as error:
        return told(error)


# --- by chance --------------------------------------------------------------------------------------------------

PIECES = [
    "a{n}:\n  test.nop:\n    - name: {{{{ grains.role }}}}\n",
    "{{% if grains['deep']['x'] %}}b{n}: test.nop\n{{% endif %}}\n",
    "c{n}:\n  test.nop:\n    - name: {{{{ grains|json|md5 }}}}\n",
    "d{n}:\n  test.nop:\n    - name: x{{{{ salt['pillar.get']('app:port', 1) }}}}\n",
    "{{% for k, v in pillar.get('app', {{}}).items() %}}"
    "e{n}{{{{ k }}}}:\n  test.nop:\n    - name: {{{{ v|json }}}}\n{{% endfor %}}\n",
    "{{% set copy = dict(grains, role='z') %}}"
    "f{n}:\n  test.nop:\n    - name: {{{{ copy.role }}}}{{{{ copy|length }}}}\n",
    "g{n}:\n  test.nop:\n    - name: {{{{ '%(role)s' % grains }}}}\n",
    "h{n}:\n  test.nop:\n    - name: {{{{ '{{role}}'.format(**grains) }}}}\n",
    "i{n}:\n  test.nop:\n    - name: is {{{{ salt['match.compound']('G@role:web or E@m[0-4]') }}}}\n",
    "j{n}:\n  test.nop:\n    - name: is {{{{ salt['match.pillar']('app:port:80') }}}}\n",
    "{{% do pillar.update({{'mine': grains.role}}) %}}k{n}:\n  test.nop:\n    - name: {{{{ pillar.mine }}}}\n",
    "{{% if 'gone' in grains %}}l{n}: test.nop\n{{% else %}}m{n}: test.nop\n{{% endif %}}\n",
    "n{n}:\n  test.nop:\n    - name: N{{{{ salt['grains.filter_by']({{'web': 1, 'default': 2}}, 'role') }}}}\n",
    "{{% set d = pillar.app if pillar.app is mapping else {{}} %}}{{% do d.update({{'port': 7}}) %}}"
    "o{n}:\n  test.nop:\n    - name: p{{{{ salt['pillar.get']('app:port') }}}}\n",
    "p{n}:\n  file.managed:\n    - name: /p{n}\n    - source: salt://t.j2\n    - template: jinja\n",
    "q{n}:\n  file.managed:\n    - name: /q{n}\n    - contents_pillar: app:text\n",
    "r{n}:\n  test.nop:\n    - name: {{{{ opts.id }}}}\n",
    "s{n}:\n  test.nop:\n    - name: is {{{{ grains == {{}} }}}} {{{{ (pillar|list)|length }}}}\n",
    "t{n}:\n  test.nop:\n    - name: {{{{ salt['config.get']('role') }}}} {{{{ salt['config.get']('deep:x') }}}}\n",
    "u{n}:\n  test.nop:\n    - name: v{{{{ pillar.missing_key }}}}\n",
    "{{% set x = grains.pop('role') %}}v{n}:\n  test.nop:\n    - name: {{{{ x }}}} {{{{ 'role' in grains }}}}\n",
]

GRAINS = st.fixed_dictionaries(
    {
        "role": st.sampled_from(["web", "db", "a: b"]),
        "deep": st.fixed_dictionaries({"x": st.sampled_from([0, 1, True])}),
    },
    optional={"gone": st.just(1), "os": st.sampled_from(["Debian", "x"]), "n": st.sampled_from([1, 1.0, "1"])},
)
PILLAR = st.sampled_from(
    [
        "app:\n  port: 80\n  text: some words\n",
        "app:\n  port: {{ 80 if grains.role == 'web' else 81 }}\n"
        "  password: verysecret{{ grains.deep.x }}\n  text: t\n",
        "app: {text: '{{ grains.id }}'}\nother: {{ grains.os|default('none') }}\n",
        "{% if grains.role == 'db' %}app: {port: '80', text: verysecret1}\n{% endif %}\nkey: 1\n",
    ]
)
TOPS = ["'*'", "'m[0-3]'", "'G@role:web'", "'not G@deep:x:1'", "'I@app:port:80'"]


@st.composite
def trees(draw: st.DrawFn) -> dict[str, str]:
    pieces = draw(st.lists(st.sampled_from(PIECES), min_size=1, max_size=5))
    parts = [piece.format(n=number) for number, piece in enumerate(pieces)]
    cut = draw(st.integers(0, len(parts)))
    targets = draw(st.lists(st.sampled_from(TOPS), min_size=1, max_size=3, unique=True))
    entries = "".join(f"  {target}:\n    - {draw(st.sampled_from(['one', 'two']))}\n" for target in targets)
    return {
        "top.sls": "base:\n" + entries,
        "one.sls": "".join(parts[:cut]),
        "two.sls": "include: [one]\n" + "".join(parts[cut:]),
        "t.j2": draw(st.sampled_from(["{{ grains.role }}{{ name }}", "{{ pillar.app|json }}", "fixed"])),
    }


@settings(max_examples=25, deadline=None)
@given(
    tree=trees(),
    second=trees(),
    pillar=PILLAR,
    by=st.sampled_from(["'*'", "'m[0-2]'", "'G@role:db'"]),
    fleet=st.lists(GRAINS, min_size=2, max_size=6),
)
def test_with_and_without_remembering_the_same(
    tmp_path_factory: pytest.TempPathFactory,
    tree: dict[str, str],
    second: dict[str, str],
    pillar: str,
    by: str,
    fleet: list[dict[str, Any]],
) -> None:
    folder = tmp_path_factory.mktemp("tree")
    write(folder / "pillar", {"top.sls": f"base:\n  {by}:\n    - all\n", "all.sls": pillar})
    compiler, _ = recalling()
    requests = [made_request(folder, f"m{number}", grains) for number, grains in enumerate([*fleet, *fleet])]
    for files in (tree, second, tree):
        write(folder / "states", files)
        wanted = [uncached(request) for request in requests]
        assert asyncio.run(outcomes(compiler, requests)) == wanted
        assert asyncio.run(outcomes(compiler, list(reversed(requests)))) == list(reversed(wanted))


FLEET: list[dict[str, Any]] = [
    {"role": role, "deep": {"x": x}, **more}
    for role in ("web", "db", "a: b")
    for x in (0, True)
    for more in ({}, {"gone": 1}, {"os": "Debian", "n": 1}, {"os": "Debian", "n": "1"})
]


@pytest.mark.parametrize("piece", PIECES)
@pytest.mark.parametrize("target", TOPS[:2] + TOPS[4:])
def test_each_way_to_read_gives_every_minion_its_own(tmp_path: Path, piece: str, target: str) -> None:
    pillar = (
        "app:\n  port: {{ 80 if grains.role == 'web' else 81 }}\n  text: {{ grains.os|default('none') }}\n"
        "{% if grains.role == 'db' %}password: verysecret{{ grains.deep.x }}\n{% endif %}"
    )
    write(tmp_path / "pillar", {"top.sls": "base:\n  'm*': [all]\n", "all.sls": pillar})
    top = f"base:\n  {target}: [one]\n  '*': [two]\n"
    states = {
        "top.sls": top,
        "one.sls": "one: test.nop\n",
        "two.sls": piece.format(n=0),
        "t.j2": "{{ pillar.app|json }}",
    }
    write(tmp_path / "states", states)
    requests = [made_request(tmp_path, f"m{number}", grains) for number, grains in enumerate(FLEET)]
    compiler, _ = recalling()
    assert asyncio.run(outcomes(compiler, requests)) == [uncached(request) for request in requests]


# --- one by one -------------------------------------------------------------------------------------------------


def fleet_tree(tmp_path: Path, state: str, pillar: str = "app: {port: 80}\n") -> None:
    write(tmp_path / "states", {"top.sls": "base:\n  '*': [one]\n", "one.sls": state, "t.j2": "text"})
    write(tmp_path / "pillar", {"top.sls": "base:\n  '*': [all]\n", "all.sls": pillar})


def rendered(tmp_path: Path, grains: list[dict[str, Any]], compiler: Recalling) -> list[str]:
    async def all_of_them() -> list[str]:
        requests = [made_request(tmp_path, f"m{number}", each) for number, each in enumerate(grains)]
        found = await asyncio.gather(*(compiler.compile(request) for request in requests))
        assert [each.assignment.minion for each in found] == [request.minion for request in requests]
        return [each.assignment.chunks[0].name for each in found]

    return asyncio.run(all_of_them())


def test_a_fleet_costs_its_variety(tmp_path: Path) -> None:
    fleet_tree(tmp_path, "a:\n  test.nop:\n    - name: {{ grains.role }} {{ pillar.app.port }}\n")
    compiler, pool = recalling()
    fleet: list[dict[str, Any]] = [{"role": ["web", "db"][number % 2], "serial": number} for number in range(50)]
    assert rendered(tmp_path, fleet, compiler) == ["web 80", "db 80"] * 25
    assert pool.count == 2


@pytest.mark.parametrize(
    ("change", "name"),
    [
        (("states/one.sls", "a:\n  test.nop:\n    - name: new\n"), "new"),
        (("pillar/all.sls", "app: {port: 81}\n"), "web 81"),
        (("states/one/init.sls", "ignored: test.nop\n"), "web 80"),
        (("states/top.sls", "base:\n  '*': [two]\n"), "from two"),
    ],
)
def test_what_files_say_now_counts(tmp_path: Path, change: tuple[str, str], name: str) -> None:
    fleet_tree(tmp_path, "a:\n  test.nop:\n    - name: {{ grains.role }} {{ pillar.app.port }}\n")
    write(tmp_path / "states", {"two.sls": "a:\n  test.nop:\n    - name: from two\n"})
    compiler, _ = recalling()
    assert rendered(tmp_path, [{"role": "web"}] * 3, compiler) == ["web 80"] * 3
    write(tmp_path, {change[0]: change[1]})
    assert rendered(tmp_path, [{"role": "web"}] * 3, compiler) == [name] * 3


def test_a_file_that_comes_first_or_a_listing_that_grows_counts(tmp_path: Path) -> None:
    state = "{% for f in salt['cp.list_master'](prefix='t') %}{{ f }}: test.nop\n{% endfor %}"
    fleet_tree(tmp_path, state)
    compiler, pool = recalling()
    request = made_request(tmp_path, "m1", {})
    assert len(asyncio.run(compiler.compile(request)).assignment.chunks) == 2
    write(tmp_path / "states", {"t2.j2": ""})
    assert len(asyncio.run(compiler.compile(request)).assignment.chunks) == 3
    assert pool.count == 2


@pytest.mark.parametrize(
    "chance", ["100|random_hash", "''|strftime", "salt['random.get_str']()", "[1, 2]|random_shuffle"]
)
def test_what_chance_made_is_made_anew(tmp_path: Path, chance: str) -> None:
    fleet_tree(tmp_path, f"a:\n  test.nop:\n    - name: x {{{{ {chance} }}}}\n")
    compiler, pool = recalling()
    rendered(tmp_path, [{}] * 4, compiler)
    assert pool.count == 4


def test_a_seed_is_no_chance(tmp_path: Path) -> None:
    fleet_tree(tmp_path, "a:\n  test.nop:\n    - name: x{{ range(100)|random_sample(3, seed=pillar.app.port) }}\n")
    compiler, pool = recalling()
    assert len(set(rendered(tmp_path, [{}] * 4, compiler))) == 1
    assert pool.count == 1


def test_errors_are_each_minions_own(tmp_path: Path) -> None:
    fleet_tree(tmp_path, "a:\n  test.nop:\n    - name: {{ grains.role }}\n")
    compiler, _ = recalling()
    requests = [made_request(tmp_path, f"m{number}", {"role": "x"} if number % 2 else {}) for number in range(6)]
    found = asyncio.run(outcomes(compiler, requests))
    assert [isinstance(each, str) for each in found] == [True, False] * 3


def test_pillars_are_remembered_too(tmp_path: Path) -> None:
    fleet_tree(tmp_path, "", pillar="app: {secret: 'very secret {{ grains.role }}'}\n")
    compiler, pool = recalling()
    for number in range(6):
        request = made_request(tmp_path, f"m{number}", {"role": number % 2, "serial": number})
        assert asyncio.run(compiler.pillar(request)) == compile_pillar(request)
    assert pool.count == 2


class Minions:
    """Minions that answer with a number."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.asked = 0

    async def function(self, _name: str, _args: Any, _kwargs: Any) -> Data:
        self.asked += 1
        return self.number

    async def decrypt(self, _message: str) -> str:
        raise AssertionError


def test_what_minions_answer_is_a_read(tmp_path: Path) -> None:
    fleet_tree(tmp_path, "a:\n  test.nop:\n    - name: {{ salt['pkg.version']('x') }}v\n")

    class Asking(Counted):
        async def compile_recorded(self, request: Request, answers: AsyncAnswers) -> tuple[Compiled, Recorded]:
            self.count += 1
            number = await answers.function("pkg.version", ["x"], {})

            class Known:
                def function(self, _name: str, _args: Any, _kwargs: Any) -> Data:
                    return number

                def decrypt(self, _message: str) -> str:
                    raise AssertionError

            return compile_recorded(request, Known())

    pool = Asking()
    compiler = Recalling(cast(Pool, pool))
    minions = [Minions(number % 2) for number in range(6)]

    async def ask() -> list[str]:
        request = made_request(tmp_path, "m", {})
        found = [await compiler.compile(replace(request, minion=f"m{at}"), minions[at]) for at in range(6)]
        return [each.assignment.chunks[0].name for each in found]

    assert asyncio.run(ask()) == ["0v", "1v"] * 3
    assert pool.count == 2
    assert [minion.asked for minion in minions] == [1] * 6


# --- the parts --------------------------------------------------------------------------------------------------


def test_whatever_reads_a_mapping_is_noted() -> None:
    data = {"a": 1, "b": {"c": [2]}}
    for use in (
        dict,
        list,
        len,
        str,
        repr,
        lambda it: {**it},
        lambda it: it == {},
        lambda it: it.copy(),
        lambda it: it | {},
    ):
        reads = Reads()
        use(Watched("grains", dict(data), reads))
        assert reads.notes == {("grains",): frozen(data)}, use
    reads = Reads()
    watched = Watched("grains", dict(data), reads)
    assert look(watched, "b:c:0") == 2
    assert watched["a"] == 1
    assert "z" not in watched
    assert set(reads.notes) == {("grains at", "b:c:0", ":"), ("grains", "a"), ("grains", "z")}


@pytest.mark.parametrize(
    ("one", "other"), [(1, True), (1, 1.0), ("1", 1), (b"a", "a"), ({"a": 1, "b": 2}, {"b": 2, "a": 1})]
)
def test_values_that_a_template_can_tell_apart_are_apart(one: Any, other: Any) -> None:
    assert frozen(one) != frozen(other)


def test_the_oldest_results_go_first() -> None:
    recall: Recall[int] = Recall(most=3)
    for number in range(5):
        recall.keep(b"s", Recorded(((("grains", "n"), frozen(number)),), ()), number, 1)
    assert [answer(recall.shape(b"s"), number) for number in range(5)] == [None, None, 2, 3, 4]
    small: Recall[int] = Recall(most_bytes=10)
    small.keep(b"s", Recorded(((("grains", "n"), frozen(1)),), ()), 1, 11)
    assert answer(small.shape(b"s"), 1) is None


def answer(shape: Shape[int], number: int) -> int | None:
    walk = shape.walk()
    try:
        question = next(walk)
        while True:
            assert question == ("grains", "n")
            question = walk.send(frozen(number))
    except StopIteration as stop:
        found: int | None = stop.value
        return found
