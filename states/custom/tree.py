"""What the names that custom code may call need of the loaded tree, and of whoever applies a state for them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from protocol.assignment import Assignment, CustomFile
from protocol.results import Progress, StepResult
from states.context import Context

Call = Callable[..., Any]


@dataclass(slots=True)
class Module:
    """A loaded file: the name it loads as and the functions it offers; or why it is not loaded."""

    file: CustomFile
    name: str = ""
    functions: Mapping[str, Call] = field(default_factory=dict)
    problem: str = ""


class Apply(Protocol):
    """Applies states in the middle of a job."""

    def __call__(
        self, assignment: Assignment, context: Context, emit: Callable[[Progress], None], *, test: bool = False
    ) -> list[StepResult]:
        """Make the host what `assignment` says (with `test`: only foretell); all results as they were finished."""
        ...


class Tree(Protocol):
    """The own code of a state tree as one job has it."""

    @property
    def context(self) -> Context:
        """The context of the job: the very one that states and functions get."""
        ...

    @property
    def pillar(self) -> Any:
        """The minion's pillar, with its secrets readable."""
        ...

    @property
    def opts(self) -> Mapping[str, Any]:
        """What custom code has as `__opts__`."""
        ...

    @property
    def override(self) -> bool:
        """Whether the tree's functions and states may stand for ours of the same name."""
        ...

    @property
    def apply(self) -> Apply:
        """What applies a state that custom code asks for."""
        ...

    def find(self, kind: str, name: str) -> Call | None:
        """The function `name` of the files of `kind`, None when there is none that can be loaded."""
        ...

    def problem(self, kind: str, name: str) -> str:
        """Why the files that should give `name` do not; empty when there are none."""
        ...

    def modules(self, kind: str) -> Iterator[Module]:
        """Every module of a kind, loaded."""
        ...
