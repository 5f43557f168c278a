"""What is asked of the compiler and what comes of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import states
from master.compiler.secretwords import SECRET_WORDS
from master.compiler.trees import TreeOptions
from protocol.assignment import Assignment, Custom
from protocol.data import Data
from states.declarations import Signature

Level = Literal["minion", "master"]


@dataclass(frozen=True, slots=True)
class Roots:
    """The directories of each environment, for states and for pillar; of one name the first directory has wins.

    With `formulas`, the formulas that come with the product follow those of the environment `base`.
    """

    states: Mapping[str, tuple[Path, ...]]
    pillar: Mapping[str, tuple[Path, ...]] = field(default_factory=dict)
    formulas: bool = True

    def state_directories(self) -> dict[str, tuple[Path, ...]]:
        """The directories of states by environment, with those of the formulas that come with the product."""
        directories = dict(self.states)
        if self.formulas:
            shipped = (Path(path) / "formulas" for path in states.__path__)
            directories["base"] = (*directories.get("base", ()), *shipped)
        return directories


@dataclass(frozen=True, slots=True)
class CompilerOptions:
    """How strictly to compile, what is secret, and what templates see as `opts`.

    strict_requisites   a reference that no state answers to refuses the compilation (Salt 3008); otherwise only the
                        state that has it fails, and an `sls:` reference that reaches back is left out (Salt 3006)
    strict_states       a state that is not known, or arguments that it does not take, refuse the compilation; otherwise
                        that state alone fails on the minion, and arguments that it does not take are left out (Salt)
    aggregate           install the packages of several states together, where they do not say otherwise
    all_pillar          take every pillar file that the top file names, whomever it means (for checks only)
    trees               how top files and the sources of pillar are put together
    secret_words        words of a pillar key that make its value a secret
    custom_override     let the own code of a state tree replace states and functions of ours
    allow_py            let files be Python code (renderer py); for compiling processes only
    """

    strict_requisites: bool = True
    trees: TreeOptions = field(default_factory=TreeOptions)
    secret_words: tuple[str, ...] = SECRET_WORDS
    opts: Mapping[str, Data] = field(default_factory=dict)
    all_pillar: bool = False
    custom_override: bool = False
    allow_py: bool = False
    strict_states: bool = True
    aggregate: bool = False


@dataclass(frozen=True, slots=True)
class Request:
    """Compile for `minion` with its `grains`: the files `sls`, or when that is empty what the top file gives it.

    `pillar_override` is merged last over the pillar. `states` says where the states run: on the minion, or on the
    master (an orchestration; `minion` is then the master's own name). `function` is what a call calls.
    `explain` asks for `Compiled.origins`.
    """

    minion: str
    grains: Mapping[str, Data]
    roots: Roots
    sls: tuple[str, ...] = ()
    environment: str = "base"
    pillar_override: Mapping[str, Data] = field(default_factory=dict)
    nodegroups: Mapping[str, Any] = field(default_factory=dict)
    options: CompilerOptions = field(default_factory=CompilerOptions)
    states: Level = "minion"
    explain: bool = False
    function: str = ""

    def opts(self) -> dict[str, Any]:
        """What templates see as `opts`."""
        return {"id": self.minion, "saltenv": self.environment, "test": False, **self.options.opts}


@dataclass(frozen=True, slots=True)
class Compiled:
    """The assignment, the content of its blobs (digest to bytes, or to the path of a large file), and the pillar.

    In the pillar, and in the assignment's arguments, what is secret is a Secret.
    """

    assignment: Assignment
    blobs: Mapping[str, bytes | Path]
    pillar: Mapping[str, Data]
    warnings: tuple[str, ...] = ()
    origins: tuple[Mapping[str, Data], ...] = ()


@dataclass(frozen=True, slots=True)
class CompiledCall:
    """The own code of a state tree for a call on one minion; `custom` is None when the tree has not its function.

    `signature` are the function's arguments, `names` all functions of the tree; `secrets` the literals of the pillar.
    """

    custom: Custom | None
    blobs: Mapping[str, bytes | Path]
    secrets: tuple[str, ...] = ()
    signature: Signature | None = None
    names: tuple[str, ...] = ()
