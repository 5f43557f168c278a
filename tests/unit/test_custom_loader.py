"""Custom code as a job runs it: Salt's names, results, imports; what is refused and how that is told."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from protocol.assignment import Assignment, BlobRef, Chunk, Requisite
from protocol.errors import ArgumentError, StateError
from protocol.results import Change, StepResult
from protocol.secrets import Secret
from states.contract import Done
from states.custom import grains, outcome, store
from states.custom.loader import Loader, load
from states.engine import apply
from tests.unit.custom_tree import call, loader, manifest

RETURN = "{'name': name, 'changes': {}, 'result': True, 'comment': ''}"


def result(made: Loader, *chunks: Chunk, test: bool = False) -> list[StepResult]:
    assignment = Assignment("m1", chunks, custom=made.manifest)
    return apply(
        assignment, made.context, lambda _progress: None, test=test,
        load=lambda custom, context: load(custom, context, apply),
    )  # fmt: skip


def test_code_that_the_engine_was_given_no_loader_for_is_refused(tmp_path: Path) -> None:
    made = loader(tmp_path, {"_states/s.py": f"def f(name): return {RETURN}\n"})
    assignment = Assignment("m1", (Chunk("s", "f", "a", "a", "x"),), custom=made.manifest)
    with pytest.raises(StateError, match="the tree's own code cannot be loaded here"):
        apply(assignment, made.context, lambda _progress: None)


def test_the_names_that_salt_gives_are_there(tmp_path: Path) -> None:
    files = {
        "_modules/m.py": """
            def all():
                __context__['seen'] = __context__.get('seen', 0) + 1
                return [__grains__['id'], __pillar__['a'], __opts__['id'], __opts__['k'], __opts__['test'], __env__,
                        __context__['seen'], __salt__['m.other'](1, b=2), __utils__['u.f'](3), __name__, __file__]
            def other(a, b): return a + b
        """,
        "_utils/u.py": "def f(x): return x * 2\n",
    }
    made = loader(tmp_path, files, pillar={"a": Secret("pillar-value")}, opts={"k": 5}, environment="dev", test=True)
    told = ["m1", "pillar-value", "m1", 5, True, "dev", 1, 3, 6, "salt.loaded.ext.modules.m", "_modules/m.py"]
    assert call(made, "m.all") == told
    assert call(made, "m.all")[6] == 2


def test_secrets_reach_the_code_as_they_are(tmp_path: Path) -> None:
    made = loader(tmp_path, {"_modules/m.py": "def f(a, b): return 'x%s' % a + format(b['c'][0])\n"})
    assert call(made, "m.f", Secret("one"), b={"c": [Secret("two")]}) == "xonetwo"


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("import salt.utils.files\nimport os\ndef f():\n    return salt.utils.files.fopen(os.devnull).close()", None),
        ("from salt.exceptions import CommandExecutionError as E\ndef f():\n    return str(E('x'))", "x"),
        ("import salt.ext.six as six\ndef f():\n    return list(six.iteritems({1: 2}))", [[1, 2]]),
        ("from salt.ext.six.moves import range\ndef f():\n    return list(range(2))", [0, 1]),
        ("from salt.ext.six.moves.urllib.parse import quote\ndef f():\n    return quote('a b')", "a%20b"),
        ("import salt.utils\ndef f():\n    return salt.utils.which('sh') is not None", True),
        ("import salt.utils.path\ndef f():\n    return salt.utils.path.which('no-such-command')", None),
        ("from salt.utils import dictupdate\ndef f():\n    return dictupdate.update({'a': {1: 1}}, {'a': {2: 2}})",
         {"a": {"1": 1, "2": 2}}),
        ("import salt.utils.versions as v\ndef f():\n    return v.LooseVersion('1.10') > v.LooseVersion('1.9')", True),
        ("import salt.utils.yaml\ndef f():\n    return salt.utils.yaml.safe_load('a: [1]')", {"a": [1]}),
        ("import salt.utils.data\ndef f():\n    return salt.utils.data.compare_dicts({'a': 1}, {'a': 2})",
         {"a": {"old": 1, "new": 2}}),
        ("try:\n    import salt.client\n    X = 1\nexcept ImportError:\n    X = 2\ndef f():\n    return X", 2),
    ],
)  # fmt: skip
def test_the_parts_of_salt_that_are_offered(tmp_path: Path, text: str, value: Any) -> None:
    assert call(loader(tmp_path, {"_modules/m.py": text + "\n"}), "m.f") == value


@pytest.mark.parametrize(
    ("statement", "told"),
    [
        ("import salt.client", "stackmaster does not have salt.client (start work on other minions"),
        ("import salt.utils.nothing", "stackmaster does not have salt.utils.nothing"),
        ("from salt.utils import http", "stackmaster does not have salt.utils.http (use urllib.request"),
        ("from salt.utils.files import gone", "stackmaster does not have salt.utils.files.gone"),
        ("import protocol.secrets", "protocol is internal to stackmaster"),
        ("from states.registry import find_state", "states is internal to stackmaster"),
        ("import minion", "minion is internal to stackmaster"),
        ("import master.jobs", "master is internal to stackmaster"),
        ("from . import other", "a relative import leads out of the package"),
    ],
)
def test_an_import_that_is_not_offered_names_its_line(tmp_path: Path, statement: str, told: str) -> None:
    made = loader(tmp_path, {"_modules/m.py": f"import os\n\n{statement}\ndef f():\n    return 1\n"})
    with pytest.raises(StateError) as caught:
        made.function("m.f")
    assert f"_modules/m.py:3: {told}" in caught.value.message
    assert "m.f" not in made.salt


def test_a_package_of_the_tree_is_imported_as_salt_does(tmp_path: Path) -> None:
    files = {
        "_modules/pack/__init__.py": """
            from pack import part
            from .deep.end import last
            import helping
            one = part.one
            def two(): return [one(), last(), helping.hand()]
        """,
        "_modules/pack/part.py": "def one(): return __grains__['id']\n",
        "_modules/pack/deep/end.py": "from .. import part\ndef last(): return part.one() + '!'\n",
        "_utils/helping.py": "def hand(): return 'hand'\n",
    }
    made = loader(tmp_path, files)
    assert call(made, "pack.two") == ["m1", "m1!", "hand"]
    assert call(made, "pack.one") == "m1"


def test_a_module_that_says_no_is_left_out_with_its_reason(tmp_path: Path) -> None:
    files = {
        "_modules/m.py": "def __virtual__():\n    return False, 'no library'\ndef f(): return 1\n",
        "_states/s.py": f"def __virtual__():\n    return 'm.f' in __salt__\ndef done(name):\n    return {RETURN}\n",
        "_modules/a.py": "def ask():\n    return __salt__['m.f']()\n",
    }
    made = loader(tmp_path, files)
    with pytest.raises(StateError, match=r"_modules/m\.py says that it is not for this host: no library"):
        made.function("m.f")
    with pytest.raises(StateError, match="not for this host"):
        made.state("s.done")
    with pytest.raises(KeyError, match="no library"):
        call(made, "a.ask")
    assert made.function("other.f") is None


def test_of_two_files_for_one_name_the_one_that_is_for_this_host_serves(tmp_path: Path) -> None:
    files = {
        f"_modules/{own}.py": f"def __virtual__():\n    return 'w' if {holds} else False\ndef f(): return '{own}'\n"
        for own, holds in (("one", "False"), ("two", "__grains__['id'] == 'm1'"))
    }
    assert call(loader(tmp_path, files), "w.f") == "two"


def test_content_that_is_not_what_was_signed_is_never_run(tmp_path: Path) -> None:
    made = loader(tmp_path, {"_modules/m.py": "def f(): return 1\n"})
    (file,) = made.manifest.files
    made.context.blob_path(file.ref).write_text(f"open({str(tmp_path / 'canary')!r}, 'w')\ndef f(): return 2\n")
    with pytest.raises(StateError, match="not what the master signed"):
        made.function("m.f")
    assert not (tmp_path / "canary").exists()


def test_nothing_is_loaded_that_is_not_asked_for(tmp_path: Path) -> None:
    files = {"_modules/m.py": "def f(): return 1\n", "_modules/bad.py": f"open({str(tmp_path / 'canary')!r}, 'w')\n"}
    assert call(loader(tmp_path, files), "m.f") == 1
    assert not (tmp_path / "canary").exists()


def test_lookups_are_closed(tmp_path: Path) -> None:
    made = loader(tmp_path, {"_modules/m.py": "import os\nclass C: pass\ndef _g(): pass\ndef f(): pass\n"})
    for name in ("m._g", "m.C", "m.os", "m.__builtins__", "m.f.__globals__", "m"):
        with pytest.raises(StateError):
            made.function(name)
    for name in ("os.system", "__class__.x", ""):
        assert made.function(name) is None


# --- __salt__ -----------------------------------------------------------------------------------------------------


def test_commands_have_salts_arguments_and_results(tmp_path: Path) -> None:
    salt = loader(tmp_path, {}).salt
    assert salt["cmd.run"]("echo $HOME; echo x") == "$HOME; echo x"
    assert salt["cmd.run"]("echo a; false", python_shell=True) == "a"
    assert salt["cmd.run"](["echo", "a  b"]) == "a  b"
    assert salt["cmd.retcode"]("exit 3", python_shell=True) == 3
    assert salt["cmd.run_all"]("sh -c 'echo o; echo e >&2; exit 2'") == {
        "pid": 0, "retcode": 2, "stdout": "o", "stderr": "e",
    }  # fmt: skip
    assert salt["cmd.run_stdout"]("echo x", output_loglevel="quiet", ignore_retcode=True) == "x"
    with pytest.raises(Exception, match="exit status 1"):
        salt["cmd.run"]("false", raise_err=True)


def test_files_lie_below_the_root_of_the_minion(tmp_path: Path) -> None:
    salt = loader(tmp_path, {}).salt
    assert salt["file.makedirs"]("/etc/x/") is None
    salt["file.write"]("/etc/x/a", "one", "two")
    salt["file.append"]("/etc/x/a", "three")
    assert (tmp_path / "root/etc/x/a").read_text() == "one\ntwo\nthree\n"
    assert salt["file.file_exists"]("/etc/x/a")
    assert salt["file.set_mode"]("/etc/x/a", "0600") == "0600"
    assert salt["file.stats"]("/etc/x/a")["mode"] == "0600"
    assert salt["file.contains"]("/etc/x/a", "two")
    assert salt["file.readdir"]("/etc/x") == [".", "..", "a"]
    assert salt["file.remove"]("/etc/x") is True
    assert salt["file.remove"]("/etc/x") is False
    with pytest.raises(Exception, match="goes up by"):
        salt["file.read"]("/../../etc/passwd")
    with pytest.raises(Exception, match="root is not removed"):
        salt["file.remove"]("/")


def test_grains_pillar_and_config_are_looked_up(tmp_path: Path) -> None:
    pillar = {"a": {"b": [{"c": 1}]}, "who": "me"}
    salt = loader(tmp_path, {}, pillar=pillar, opts={"k": {"l": 2}}).salt
    assert salt["grains.get"]("roles:1") == "osd"
    assert salt["grains.get"]("no", "d") == "d"
    assert salt["grains.filter_by"]({"Debian": {"p": "apt"}, "default": {}}, merge={"q": 1}) == {"p": "apt", "q": 1}
    assert salt["pillar.get"]("a:b:0:c") == 1
    assert salt["pillar.get"]("a", {"z": 1}, merge=True) == {"z": 1, **pillar["a"]}  # type: ignore[dict-item]
    assert salt["config.get"]("k:l") == 2
    assert salt["config.get"]("who") == "me"
    assert salt["test.ping"]() is True


def test_what_there_is_not_is_told_by_name(tmp_path: Path) -> None:
    salt = loader(tmp_path, {"_modules/mine.py": "def fun(): pass\n"}).salt
    assert "mine.fun" in salt
    assert "mine.fun" in list(salt)
    assert salt.get("no.such") is None
    with pytest.raises(KeyError, match=r"no 'mine\.fum' for custom code \(did you mean 'mine\.fun'\?"):
        salt["mine.fum"]


def test_a_function_of_ours_is_replaced_only_when_that_is_allowed(tmp_path: Path) -> None:
    files = {
        "_modules/user.py": "def info(name): return 'mine'\n",
        "_modules/m.py": "def f():\n    return __salt__['user.info']('root')\n",
    }
    assert call(loader(tmp_path, files), "m.f") != "mine"
    with pytest.raises(ArgumentError, match=r"'user\.info' is stackmaster's own"):
        loader(tmp_path, files).function("user.info")
    assert call(loader(tmp_path, files, override=True), "m.f") == "mine"


def test_a_state_of_ours_is_applied_within_custom_code(tmp_path: Path) -> None:
    text = """
        def copied(name, text):
            return __states__['file.managed'](name=name, contents=text)
    """
    made = loader(tmp_path, {"_states/s.py": text})
    (foretold,) = result(made, Chunk("s", "copied", "/a", "/a", "x", {"text": "hello"}), test=True)
    assert foretold.result is None
    assert not (tmp_path / "root/a").exists()
    (done,) = result(made, Chunk("s", "copied", "/a", "/a", "x", {"text": "hello"}))
    assert done.result is True
    assert (tmp_path / "root/a").read_text() == "hello\n"


def test_the_files_of_a_state_are_there_for_it(tmp_path: Path) -> None:
    text = f"""
        def got(name, source):
            assert __salt__['cp.get_file_str'](source) == 'content'
            __salt__['cp.get_file'](source, '/got')
            return {RETURN}
        def other(name):
            __salt__['cp.cache_file']('salt://not/mine')
            return {RETURN}
    """
    made = loader(tmp_path, {"_states/s.py": text})
    (tmp_path / "blobs/f").write_text("content")
    sources = {"salt://f": BlobRef("f", 7)}
    good, bad = result(
        made,
        Chunk("s", "got", "a", "a", "x", {"source": "salt://f"}, sources=sources),
        Chunk("s", "other", "b", "b", "x"),
    )
    assert good.result is True, good.comment
    assert (tmp_path / "root/got").read_text() == "content"
    assert "salt://not/mine is not among the files of this state" in bad.comment


# --- results of states --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "made"),
    [
        ({}, ()),
        ({"a": {"old": 1, "new": 2}}, (Change("change", "n", "a", 1, 2),)),
        ({"diff": "+x"}, (Change("change", "n", "content", diff="+x"),)),
        ({"a": {"diff": "+x"}}, (Change("change", "n", "a", diff="+x"),)),
        (
            {"a": "made", 2: [1, {3}]},
            (Change("change", "n", "a", new="made"), Change("change", "n", "2", new=[1, [3]])),
        ),
        (["a"], (Change("change", "n", "changes", new=["a"]),)),
    ],
)
def test_salts_changes_become_ours(changes: Any, made: tuple[Change, ...]) -> None:
    returned = {"name": "n", "changes": changes, "result": None, "comment": ["a", "b"], "warnings": "w"}
    assert outcome.done("s.f", "n", returned) == Done(comment="a\nb", warnings=("w",), result=None, made=made)


@pytest.mark.parametrize(
    "returned",
    [None, True, [], {}, {"result": True, "comment": ""}, {"changes": {}, "result": "yes", "comment": ""}],
)
def test_what_is_no_result_of_a_state_is_told(returned: Any) -> None:
    with pytest.raises(StateError, match=r"s\.f returned") as caught:
        outcome.done("s.f", "n", returned)
    assert "name, changes" in caught.value.help


@pytest.mark.parametrize("said", [True, False, None])
@pytest.mark.parametrize("test", [True, False])
def test_the_word_of_a_custom_state_is_taken(tmp_path: Path, said: bool | None, test: bool) -> None:
    text = f"def f(name):\n    return {{'name': name, 'changes': {{'a': 1}}, 'result': {said}, 'comment': 'c'}}\n"
    (step,) = result(loader(tmp_path, {"_states/s.py": text}), Chunk("s", "f", "a", "a", "x"), test=test)
    assert (step.result, step.comment, len(step.changes)) == (said, "c", 1)


def test_a_watch_calls_mod_watch_with_what_it_takes(tmp_path: Path) -> None:
    text = f"""
        def f(name, color='red'):
            return {RETURN}
        def changed(name):
            return {{'name': name, 'changes': {{'a': 1}}, 'result': True, 'comment': ''}}
        def mod_watch(name, sfun):
            return {{'name': name, 'changes': {{'again': sfun}}, 'result': True, 'comment': 'watched'}}
    """
    watching = Chunk("s", "f", "b", "b", "x", {"color": "blue"}, requisites=(Requisite("watch", (0,)),))
    _, step = result(loader(tmp_path, {"_states/s.py": text}), Chunk("s", "changed", "a", "a", "x"), watching)
    assert step.comment == "watched"
    assert step.changes == (Change("change", "b", "again", new="f"),)


@pytest.mark.parametrize("deed", ["raise RuntimeError('bad luck')", "import sys; sys.exit(3)"])
def test_what_a_state_raises_is_its_result(tmp_path: Path, deed: str) -> None:
    made = loader(tmp_path, {"_states/s.py": f"def f(name):\n    {deed}\n"})
    first, second = result(made, Chunk("s", "f", "a", "a", "x"), Chunk("test", "nop", "b", "b", "x"))
    assert first.result is False
    assert "An exception occurred in this state" in first.comment
    assert '"_states/s.py", line 2, in f' in first.comment
    assert second.result is True


def test_what_it_prints_and_logs_is_scrubbed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = """
        import logging
        log = logging.getLogger(__name__)
        def f(secret):
            print('printed', secret)
            log.error('logged %s', secret)
    """
    made = loader(tmp_path, {"_modules/m.py": text})
    made.context.scrubber.add(["correct-horse"])
    call(made, "m.f", secret=Secret("correct-horse"))
    told = capsys.readouterr()
    assert told.out == ""
    assert "printed ***" in told.err
    assert "ERROR salt.loaded.ext.modules.m: logged ***" in told.err


# --- grains, and what is kept -------------------------------------------------------------------------------------

GRAINS: Mapping[str, str] = {
    "_grains/a.py": "def one(): return {'x': 1, 'y': {2: (3,)}}\ndef two(grains): return {'of': grains['id']}\n",
    "_grains/b.py": "def bad(): raise RuntimeError('no')\ndef wrong(): return [1]\ndef nothing(): return None\n",
    "_grains/c.py": "import salt.client\ndef never(): return {}\n",
}  # fmt: skip


def test_grains_are_gathered_and_failures_told(tmp_path: Path) -> None:
    made = loader(tmp_path, GRAINS)
    found = grains.gather(made.manifest, made.context, apply)
    assert found.grains == {"x": 1, "y": {"2": [3]}, "of": "m1"}
    assert len(found.problems) == 3
    assert "_grains/b.py: bad: RuntimeError: no" in found.problems


def test_grains_are_bounded(tmp_path: Path) -> None:
    made = loader(tmp_path, {"_grains/a.py": "def a(): return {'x': 'y' * 300000}\ndef b(): return {'z': 1}\n"})
    found = grains.gather(made.manifest, made.context, apply)
    assert found.grains == {"z": 1}
    assert "larger than" in found.problems[0]


def test_what_is_synchronised_is_told_once_and_kept_checked(tmp_path: Path) -> None:
    made = loader(tmp_path, {**GRAINS, "_modules/m.py": "def f(): pass\n"}, pillar={"a": "b"})
    told = store.synchronise(made.context)
    assert told == {"modules": ["modules.m"], "states": [], "grains": ["grains.a", "grains.b", "grains.c"], "utils": []}
    assert not any(store.synchronise(made.context).values())
    kept = store.load(tmp_path / "state")
    assert kept is not None
    assert kept.files == made.manifest.files
    assert kept.pillar == {}
    assert {path.stat().st_mode & 0o777 for path in (tmp_path / "state/custom").rglob("*") if path.is_file()} == {0o600}
    fewer = manifest(tmp_path / "blobs", {"_grains/a.py": GRAINS["_grains/a.py"]})
    store.keep_grains(made.context, fewer)
    assert [path.name for path in (tmp_path / "state/custom/files").iterdir()] == [fewer.files[0].ref.digest]


def test_tampered_grains_are_not_kept(tmp_path: Path) -> None:
    made = loader(tmp_path, GRAINS)
    made.context.blob_path(made.manifest.files[0].ref).write_text("evil")
    with pytest.raises(StateError, match="not what the master signed"):
        store.synchronise(made.context)
    assert store.load(tmp_path / "state") is None
