"""A state tree's own code through the real daemons: states, functions, grains; who may fetch it, what is refused."""

from __future__ import annotations

import json
import textwrap
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.demo.site import Site

PASSWORD = "correct-horse-battery"
FILES = {
    "_states/motd.py": """
        import salt.utils.files
        from salt.exceptions import CommandExecutionError

        def __virtual__():
            return 'motd' if 'notes.have' in __salt__ else (False, 'no notes')

        def written(name, text):
            path = __opts__['root_dir'] + name
            ret = {'name': name, 'changes': {}, 'result': True, 'comment': 'as wanted'}
            have = __salt__['notes.have'](path)
            if have == text:
                return ret
            ret['changes'] = {'text': {'old': have, 'new': text}}
            if __opts__['test']:
                ret['result'], ret['comment'] = None, 'would be written'
                return ret
            with salt.utils.files.fopen(path, 'w') as target:
                target.write(text)
            print('the password is', __pillar__['db_password'])
            ret['comment'] = 'written with ' + __pillar__['db_password'] + ' in ' + __env__
            return ret

        def mod_watch(name, sfun=None, **kwargs):
            return {'name': name, 'changes': {'again': sfun}, 'result': True, 'comment': 'rewritten'}

        def refused(name):
            raise CommandExecutionError('no such luck')
    """,
    "_modules/notes.py": """
        import os
        __func_alias__ = {'list_': 'list'}

        def have(path):
            '''What the file has.'''
            return __salt__['cmd.run']('cat ' + path) if os.path.exists(path) else ''

        def list_(*names, **options):
            twice = __utils__['words.twice']('x')
            return [list(names), sorted(options), __grains__['id'], __pillar__.get('color'), twice]

        def told(secret):
            return 'it is ' + secret + ' and ' + __pillar__['db_password']
    """,
    "_modules/broken.py": """
        import logging
        import salt.client
        def anything():
            return salt.client
    """,
    "_modules/prying.py": """
        def look():
            import protocol.secrets
            return protocol.secrets
    """,
    "_utils/words.py": "def twice(word): return word + word\n",
    "_grains/rack.py": """
        def place():
            return {'rack': 'r7', 'twice': __utils__['words.twice']('ab')}
        def fails():
            raise RuntimeError('not here')
    """,
    "motd.sls": """
        /motd:
          motd.written:
            - text: hello
        again:
          motd.written:
            - name: /motd
            - text: hello
            - watch:
              - file: /made
        /made:
          file.managed:
            - contents: made
    """,
    "wrong.sls": """
        /motd:
          motd.written:
            - text: hello
            - txet: hello
    """,
    "fails.sls": """
        it:
          motd.refused: []
    """,
    "shadow.sls": """
        /etc/x:
          file.managed:
            - contents: x
    """,
}


def write(folder: Path, files: Mapping[str, str]) -> None:
    """Write a tree."""
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text))


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("tree")
    states, pillar = folder / "states", folder / "pillar"
    write(states, FILES)
    write(pillar, {"top.sls": "base:\n  '*':\n    - a\n", "a.sls": f"color: red\ndb_password: {PASSWORD}\n"})
    with Site(states, pillar) as site:
        site.start_master()
        token = json.loads(site.run("keys", "token", "--uses", "2", "--output", "json").stdout)["token"]
        for minion in ("one", "two"):
            site.start_minion(minion, token)
        until(lambda: site.run("exec", "*", "test.ping").returncode == 0, "both minions")
        yield site


def until(condition: Callable[[], object], what: str, patience: float = 20.0) -> None:
    """Wait until the condition holds."""
    end = time.monotonic() + patience
    while not condition():
        assert time.monotonic() < end, f"waited in vain for {what}"
        time.sleep(0.1)


def called(site: Site, *arguments: str) -> Any:
    """The value that a function gave on minion `one`."""
    done = site.run("exec", "one", *arguments, "--output", "json")
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout)


def steps(site: Site, *arguments: str) -> list[dict[str, Any]]:
    """The steps of an apply or plan on minion `one`."""
    done = site.run(*arguments, "--output", "json")
    found: list[dict[str, Any]] = json.loads(done.stdout)["minions"]["one"]["steps"]
    return found


def test_a_function_of_the_tree_sees_what_salt_gives_it(site: Site) -> None:
    told = called(site, "notes.list", "a", "b", "k=1")["minions"]["one"]["value"]
    assert told == [["a", "b"], ["k"], "one", "red", "xx"]


def test_arguments_and_pillar_that_are_secret_are_hidden(site: Site) -> None:
    done = site.run("exec", "one", "notes.told", "secret=open-sesame-123")
    assert done.stdout.split(":", 1)[1].strip() == "it is *** and ***"
    assert "open-sesame-123" not in done.stdout + done.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (("exec", "one", "notes.tol"), 2, "did you mean 'notes.told'?"),
        (("exec", "one", "notes.have"), 2, "notes.have needs the argument 'path'"),
        (("exec", "one", "notes.have", "a", "b"), 2, "2 positional arguments"),
        (("apply", "one", "wrong"), 2, "motd.written has no argument 'txet'"),
        (("exec", "one", "broken.anything"), 4, "_modules/broken.py:3: stackmaster does not have salt.client"),
        (("exec", "one", "prying.look"), 4, "_modules/prying.py:3: protocol is internal to stackmaster"),
    ],
)
def test_what_is_wrong_is_told_with_its_place(site: Site, arguments: tuple[str, ...], code: int, told: str) -> None:
    done = site.run(*arguments)
    assert done.returncode == code
    assert told in done.stdout + done.stderr


def test_a_state_of_the_tree_foretells_changes_and_acts_on_a_watch(site: Site) -> None:
    foretold = steps(site, "plan", "one", "motd")
    assert [step["result"] for step in foretold] == [None, None, None]
    assert not (site.root("one") / "motd").exists()
    first, made, again = steps(site, "apply", "one", "motd")
    assert first["changes"][0]["aspect"] == "text"
    assert first["changes"][0]["new"] == "hello"
    assert first["comment"] == "written with *** in base"
    assert made["changes"]
    assert again["comment"] == "rewritten"
    assert again["changes"][0]["aspect"] == "again"
    assert (site.root("one") / "motd").read_text() == "hello"
    assert all(step["result"] is True and not step["changes"] for step in steps(site, "apply", "one", "motd"))


def test_what_a_state_raises_is_told_with_the_line_of_the_tree(site: Site) -> None:
    (step,) = steps(site, "apply", "one", "fails")
    assert step["result"] is False
    assert "CommandExecutionError: no such luck" in step["comment"]
    assert '"_states/motd.py", line 28, in refused' in step["comment"]
    assert "engine.py" not in step["comment"]


def test_synchronised_grains_are_gathered_and_kept(site: Site) -> None:
    told = called(site, "saltutil.sync_all")["minions"]["one"]["value"]
    assert set(told) == {"modules", "states", "grains", "utils"}
    assert called(site, "saltutil.sync_grains")["minions"]["one"]["value"] == []

    def rack() -> bool:
        return bool(called(site, "grains.get", "rack")["minions"]["one"]["value"] == "r7")

    until(rack, "the grain of the tree")
    assert called(site, "grains.get", "twice")["minions"]["one"]["value"] == "abab"
    until(lambda: site.run("exec", "G@rack:r7 and one", "test.ping").returncode == 0, "the master to know of it")
    assert "_grains/rack.py: fails: RuntimeError: not here" in site.log("one")


def test_secrets_stay_out_of_logs_and_state(site: Site) -> None:
    steps(site, "apply", "one", "motd")
    assert PASSWORD not in site.log("master") + site.log("one")
    state = site.folder / "one" / "state"
    until(lambda: not list((state / "jobs").iterdir()), "the job's folder to go with its acknowledgement")
    kept = [path for path in state.rglob("*") if path.is_file()]
    assert [path for path in kept if PASSWORD.encode() in path.read_bytes()] == []


def test_no_daemon_has_a_file_of_the_tree_loaded(site: Site) -> None:
    site.states.joinpath("_modules/whoami.py").write_text("import os\nPID = os.getpid()\ndef pid():\n    return PID\n")
    pids = {called(site, "whoami.pid")["minions"]["one"]["value"] for _ in range(2)}
    assert len(pids) == 2
    assert not pids & {site.pid("one"), site.pid("master")}


def test_a_shadowing_state_is_refused_unless_allowed(site: Site) -> None:
    own = site.states / "_states/file.py"
    own.write_text("def managed(name, **kwargs):\n    return {}\n")
    try:
        done = site.run("apply", "one", "shadow")
    finally:
        own.unlink()
    assert done.returncode == 2
    assert "'file.managed' is a state of stackmaster's own" in done.stderr
    assert "_states/file.py:1" in done.stderr
    assert "custom_override" in done.stderr
