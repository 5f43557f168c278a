"""onlyif, unless, creates, check_cmd and retry of a chunk."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from protocol.assignment import Assignment, Chunk
from protocol.data import Data
from protocol.results import StepResult
from protocol.secrets import Secret
from states import conditions, engine
from states.context import Context

TRUE: dict[str, Data] = {"fun": "test.true"}
FALSE: dict[str, Data] = {"fun": "test.false"}


def call(
    fun: str = "succeed_with_changes",
    *,
    test: bool = False,
    root: Path = Path("/"),
    waits: list[float] | None = None,
    **options: Data,
) -> StepResult:
    return with_options(options, fun=fun, test=test, root=root, waits=waits)


def with_options(
    options: Mapping[str, Data],
    *,
    fun: str = "succeed_with_changes",
    test: bool = False,
    root: Path = Path("/"),
    waits: list[float] | None = None,
) -> StepResult:
    chunk = Chunk("test", fun, "x", "x", "main", {}, options)
    wait = (waits if waits is not None else []).append
    context = Context("m1", {}, root=root)
    (result,) = engine.apply(Assignment("m1", (chunk,)), context, lambda _: None, test=test, wait=wait)
    return result


@pytest.mark.parametrize(
    ("options", "comment"),
    [
        ({"onlyif": "true"}, "Success!"),
        ({"onlyif": ["true", "false"]}, "onlyif condition is false"),
        ({"onlyif": []}, "Success!"),
        ({"onlyif": [TRUE, FALSE]}, "onlyif condition is false"),
        ({"onlyif": [False]}, "Success!"),
        ({"onlyif": [{"nofun": 1}]}, "Success!"),
        ({"unless": "true"}, "unless condition is true"),
        ({"unless": ["true", "false"]}, "Success!"),
        ({"unless": ["true", TRUE]}, "unless condition is true"),
        ({"unless": [TRUE, FALSE]}, "Success!"),
        ({"unless": [3]}, "Success!"),
        ({"creates": "/etc/passwd"}, "/etc/passwd exists"),
        ({"creates": ["/etc/passwd", "/etc"]}, "All files in creates exist"),
        ({"creates": ["/etc/passwd", "/nothing/here"]}, "Success!"),
        ({"onlyif": "false", "unless": "false"}, "onlyif condition is false\nunless condition is false"),
        ({"onlyif": "true", "creates": "/etc"}, "onlyif condition is true\n/etc exists"),
        ({"onlyif": [{"fun": "test.echo", "args": ["yes"]}]}, "Success!"),
        ({"onlyif": [{"fun": "test.echo", "text": {"a": [0, 5]}, "get_return": "a:1"}]}, "Success!"),
        ({"onlyif": [{"fun": "test.echo", "text": {"a": [0]}, "get_return": "a:0"}]}, "onlyif condition is false"),
        ({"onlyif": [{"fun": "test.echo", "text": 1, "get_return": "a:b"}]}, "onlyif condition is false"),
    ],
)
def test_conditions(options: dict[str, Data], comment: str) -> None:
    result = with_options(options)
    assert result.result is True
    assert result.comment == comment
    assert bool(result.changes) == (comment == "Success!")


def test_paths_lie_under_a_private_root(tmp_path: Path) -> None:
    (tmp_path / "made").touch()
    assert call(root=tmp_path, creates="/etc/passwd").comment == "Success!"
    assert call(root=tmp_path, creates="/made").comment == "/made exists"


def test_a_shell_that_is_missing_counts_as_true_for_unless_only() -> None:
    assert with_options({"onlyif": "true", "shell": "/no/shell"}).comment == "onlyif condition is false"
    assert with_options({"unless": "false", "shell": "/no/shell"}).comment == "unless condition is true"


def test_commands_run_as_the_state_says(tmp_path: Path) -> None:
    assert call(onlyif=f'test "$PWD" = {tmp_path}', cwd=str(tmp_path)).changes
    assert call(onlyif='test "$A$B" = 12', env=[{"A": 1}, {"B": "2"}]).changes
    assert call(onlyif='test "$(umask)" = 0077', umask="077").changes
    assert call(onlyif="exit 3", success_retcodes=[3]).changes
    assert call(onlyif='case "$PATH" in /opt/x:*) ;; *) false;; esac', prepend_path="/opt/x").changes
    assert not call(onlyif=f'test "$PWD" = {tmp_path}', cwd=str(tmp_path), cmd_opts_exclude=["cwd"]).changes
    assert call(onlyif='test "$(id -un)" = nobody', runas="nobody").changes


def test_arguments_of_the_state_count_as_well() -> None:
    chunk = Chunk("test", "nop", "x", "x", "main", {"cwd": "/usr"}, {"onlyif": 'test "$PWD" = /usr'})
    assert conditions.skip_reason(Context("m1", {}), chunk) is None


@pytest.mark.parametrize(
    ("options", "part"),
    [
        ({"onlyif": [{"fun": "test.nothing"}]}, "there is no function 'test.nothing'"),
        ({"onlyif": [{"fun": "test.echo"}]}, "needs the argument 'text'"),
        ({"onlyif": "true", "runas": "nobody-here"}, "there is no user 'nobody-here'"),
        ({"onlyif": "true", "env": [7]}, "env must be a mapping"),
        ({"onlyif": "true", "umask": "9"}, "is not a umask"),
        ({"onlyif": "sleep 60", "timeout": 0.2}, "did not end within 0.2 s"),
    ],
)
def test_a_broken_condition_fails_the_state(options: dict[str, Data], part: str) -> None:
    result = with_options(options)
    assert result.result is False
    assert part in result.comment
    assert not result.changes


def test_a_secret_command_is_run_and_not_shown() -> None:
    assert call(onlyif=Secret('test "$(tr -d "\\0" < /proc/$$/cmdline | grep -c sesame-open)" = 0')).changes


class TestCheckCommand:
    def test_it_decides_the_result(self) -> None:
        good, bad = call(check_cmd="true"), call(check_cmd=["true", "false"])
        assert (good.result, good.comment) == (True, "check_cmd determined the state succeeded")
        assert (bad.result, bad.comment) == (False, "check_cmd determined the state failed")
        assert good.changes
        assert bad.changes

    def test_it_can_call_a_failure_good_as_in_salt(self) -> None:
        assert call("fail_without_changes", check_cmd="true").result is True

    def test_it_is_asked_of_a_skipped_state_too_as_in_salt(self) -> None:
        failed, good = call(onlyif="false", check_cmd="false"), call(onlyif="false", check_cmd="true")
        assert (failed.result, failed.comment) == (False, "check_cmd determined the state failed")
        assert (good.result, good.comment) == (True, "check_cmd determined the state succeeded")
        assert not failed.changes

    def test_it_decides_a_dry_run_too_as_in_salt(self) -> None:
        failed, good = call(check_cmd="false", test=True), call(check_cmd="true", test=True)
        assert (failed.result, good.result) == (False, True)
        assert good.changes
        assert call("nop", check_cmd="false", test=True).result is False


class TestRetry:
    def test_comments_of_all_attempts_are_kept(self) -> None:
        waits: list[float] = []
        result = call("fail_without_changes", waits=waits, retry={"attempts": 3, "interval": 7})
        said = 'Attempt {}: Returned a result of "False", with the following comment: "Failure!"'
        assert result.comment == "\n".join((said.format(1), said.format(2), "Failure!"))
        assert waits == [7, 7]
        assert result.number == 2

    def test_it_ends_with_the_first_wanted_result(self) -> None:
        waits: list[float] = []
        assert call(waits=waits, retry=True).number == 0
        assert call("fail_without_changes", waits=waits, retry={"until": False}).number == 0
        assert waits == []

    def test_until_false_calls_a_success_again(self) -> None:
        waits: list[float] = []
        assert call(waits=waits, retry={"until": False}).number == 1
        assert waits == [30]

    def test_a_deadline_ends_it_early(self) -> None:
        waits: list[float] = []
        result = call("fail_without_changes", waits=waits, retry={"attempts": 9, "interval": 10, "deadline": 5})
        assert waits == []
        assert result.number == 0

    def test_a_dry_run_says_what_would_be(self) -> None:
        comment = call(test=True, retry={"attempts": 5, "interval": 2, "splay": 1}).comment
        assert comment.endswith(
            "  The state would be retried every 2 seconds (with a splay of up to 1 seconds) a maximum of 5 times"
            " or until a result of True is returned"
        )

    @pytest.mark.parametrize(
        ("option", "expected"),
        [
            (None, conditions.Retry(attempts=1)),
            (False, conditions.Retry(attempts=0)),
            (True, conditions.Retry()),
            ("often", conditions.Retry()),
            ({}, conditions.Retry()),
            ({"attempts": "5", "until": 1, "interval": True, "splay": None}, conditions.Retry()),
            ({"attempts": 10**9, "interval": 10**9}, conditions.Retry(1000, True, 86400)),
            ({"attempts": -1, "splay": 3}, conditions.Retry(attempts=0, splay=3)),
        ],
    )
    def test_options_are_read_as_salt_reads_them(self, option: Data, expected: conditions.Retry) -> None:
        assert conditions.retry(option) == expected
