"""`__salt__`, `__states__` and `__utils__`: what custom code may call by name, and what it is told of the rest."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar

from protocol.errors import ArgumentError, StackmasterError
from protocol.secrets import reveal
from states import declarations, registry
from states.custom import saltcalls, saltfiles, shims
from states.custom.applying import apply_state
from states.custom.exceptions import CommandExecutionError, SaltInvocationError
from states.custom.tree import Call, Tree

T = TypeVar("T")


class NotOfferedError(KeyError):
    """A name that custom code asked for and that there is not; says what to do."""

    def __str__(self) -> str:
        """The message as it is, not quoted as other missing keys are."""
        return str(self.args[0])


class _Names(Mapping[str, Call]):
    """Names looked up when asked for; `kind` is the folder that may add to them."""

    kind = ""

    def __init__(self, tree: Tree) -> None:
        self._tree = tree

    def __getitem__(self, name: str) -> Call:
        found = self._find(name)
        if found is not None:
            return found
        problem = self._tree.problem(self.kind, name)
        raise NotOfferedError(problem or self._missing(name))

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and self._find(name) is not None

    def __iter__(self) -> Iterator[str]:
        own = {f"{each.name}.{name}" for each in self._tree.modules(self.kind) for name in each.functions}
        return iter(sorted(own.union(self._ours())))

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def _find(self, name: str) -> Call | None:
        ours = self._our(name)
        if ours is not None and not self._tree.override:
            return ours
        return self._tree.find(self.kind, name) or ours or self._more(name)

    def _missing(self, name: str) -> str:
        close = difflib.get_close_matches(name, list(self), n=1)
        near = f"did you mean {close[0]!r}? " if close else ""
        return f"stackmaster has no {name!r} for custom code ({near}docs/custom-code.md lists what there is)"

    def _ours(self) -> list[str]:
        return []

    def _our(self, name: str) -> Call | None:
        """What is ours under that name, which a tree may replace only with `custom_override`."""
        return None

    def _more(self, name: str) -> Call | None:
        """What we offer under Salt's name besides, which a tree may replace."""
        return None


class Functions(_Names):
    """`__salt__`: the tree's functions and ours, with Salt's arguments and results."""

    kind = "modules"

    def _ours(self) -> list[str]:
        return [*registry.function_names(), *saltcalls.CALLS, *saltfiles.CALLS]

    def _our(self, name: str) -> Call | None:
        try:
            function = registry.find_function(name)
        except ArgumentError:
            return None
        return self._salted(name) or self._translated(function)

    def _more(self, name: str) -> Call | None:
        return self._salted(name)

    def _salted(self, name: str) -> Call | None:
        """A function that takes and gives what Salt's of that name does."""
        call = saltcalls.CALLS.get(name) or saltfiles.CALLS.get(name)
        if call is None:
            return None
        chosen, tree = call, self._tree

        def run(*args: Any, **kwargs: Any) -> Any:
            return _guarded(lambda: chosen(tree, *args, **kwargs))

        return run

    def _translated(self, function: declarations.Function) -> Call:
        """A function of ours whose arguments and result are Salt's already."""
        context = self._tree.context

        def run(*args: Any, **kwargs: Any) -> Any:
            def call() -> Any:
                own = {key: value for key, value in kwargs.items() if not key.startswith("__")}
                given = registry.by_name(function.name, function.signature, args, own)
                checked = registry.check_arguments(function.name, function.signature, given)
                return reveal(function.call(context, **checked))

            return _guarded(call)

        return run


class States(_Names):
    """`__states__`: the tree's states and ours, each called with keywords, each giving Salt's mapping."""

    kind = "states"

    def _ours(self) -> list[str]:
        return registry.state_names()

    def _our(self, name: str) -> Call | None:
        try:
            registry.find_state(name)
        except ArgumentError:
            return None

        def run(subject: str = "", **kwargs: Any) -> dict[str, Any]:
            return _guarded(lambda: apply_state(self._tree, name, str(kwargs.pop("name", subject)), kwargs))

        return run


class Utils(_Names):
    """`__utils__`: the functions of the tree's `_utils`, and the parts of `salt.utils` that we have."""

    kind = "utils"

    def __init__(self, tree: Tree) -> None:
        super().__init__(tree)
        self._shims = shims.modules()

    def _more(self, name: str) -> Call | None:
        family, _, function = name.partition(".")
        found = getattr(self._shims.get(f"salt.utils.{family}"), function, None)
        return found if callable(found) else None


def _guarded(call: Callable[[], T]) -> T:
    """What `call` gives; an error of ours as the one that code written for Salt expects."""
    try:
        return call()
    except ArgumentError as error:
        raise SaltInvocationError(str(error)) from error
    except StackmasterError as error:
        raise CommandExecutionError(str(error)) from error
