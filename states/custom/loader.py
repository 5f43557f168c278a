"""The own code of a state tree as one job has it: its files checked, loaded when first asked for, called by name."""

from __future__ import annotations

import inspect
import linecache
import traceback
import types
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from protocol.assignment import Custom, CustomFile, digest
from protocol.data import Data
from protocol.errors import ArgumentError, StateError, Where
from protocol.secrets import reveal
from states import registry
from states.context import Context
from states.contract import Plan
from states.custom import outcome
from states.custom.imports import PREFIX, Importer
from states.custom.names import Functions, States, Utils
from states.custom.output import Output
from states.custom.tree import Apply, Call, Module
from states.declarations import Function, Signature, State

ANY: Final = Signature({}, open=True, rest=True)
"""The signature of custom code on a minion: the master has checked the arguments."""


class Loader:
    """Everything of one manifest, for one job.

    `context` is the very one that its states and functions get; `apply` applies the states that custom code asks for.
    """

    def __init__(self, custom: Custom, context: Context, apply: Apply) -> None:
        self.context = context
        self.apply = apply
        self.manifest = custom
        self.environment = custom.environment
        self.override = custom.override
        self.pillar: Any = reveal(custom.pillar)
        self._files: dict[tuple[str, str], CustomFile] = {(file.kind, file.path): file for file in custom.files}
        self._sources: dict[tuple[str, str], types.ModuleType] = {}
        self._modules: dict[str, Module] = {}
        self._importer = Importer(self)
        self.opts = self._opts(custom)
        self.output = Output(context.scrubber)
        self.salt = Functions(self)
        self._dunders: dict[str, Any] = {
            "__salt__": self.salt, "__states__": States(self), "__utils__": Utils(self),
            "__grains__": reveal(context.grains), "__pillar__": self.pillar, "__opts__": self.opts,
            "__env__": custom.environment, "__context__": {}, "__proxy__": {},
        }  # fmt: skip

    def _opts(self, custom: Custom) -> dict[str, Any]:
        context = self.context
        given = reveal(custom.opts)
        return {
            **(given if isinstance(given, dict) else {}),
            "id": context.minion, "saltenv": custom.environment, "environment": custom.environment,
            "test": context.test, "file_client": "remote", "cachedir": str(context.state_dir / "custom-cache"),
            "root_dir": str(context.root), "grains": reveal(context.grains), "pillar": self.pillar,
        }  # fmt: skip

    # --- registry.Custom ----------------------------------------------------------------------------------------

    def state(self, name: str) -> State | None:
        """The state `name` of the tree. Raises StateError when its file cannot be loaded, or ours has that name."""
        call = self._checked("states", name, registry.state_names)
        if call is None:
            return None
        watch = self.find("states", f"{name.partition('.')[0]}.mod_watch")

        def plan(_ctx: Context, subject: str, **arguments: Data) -> Plan:
            return self._plan(call, name, subject, arguments)

        def watched(_ctx: Context, subject: str, **arguments: Data) -> Plan:
            assert watch is not None
            given = {**arguments, "sfun": name.partition(".")[2]}
            return self._plan(watch, name, subject, {key: each for key, each in given.items() if _takes(watch, key)})

        return State(name, plan, ANY, None if watch is None else watched, inspect.getdoc(call) or "")

    def function(self, name: str) -> Function | None:
        """The function `name` of the tree. Raises StateError when its file cannot be loaded, or ours has that name."""
        call = self._checked("modules", name, registry.function_names)
        if call is None:
            return None

        def run(_ctx: Context, *args: Data, **kwargs: Data) -> Data:
            return outcome.plain(self.run(call, *map(reveal, args), **{key: reveal(kwargs[key]) for key in kwargs}))

        return Function(name, run, ANY, "runs-code", False, False, inspect.getdoc(call) or "")

    def _checked(self, kind: str, name: str, ours: Callable[[], list[str]]) -> Call | None:
        family = name.partition(".")[0]
        if not any(family in file.names for file in self._files.values() if file.kind == kind):
            return None
        call = self.find(kind, name)
        own = name in ours()
        if call is None and not own:
            problem = self.problem(kind, name)
            raise StateError(problem or f"the tree's own module {family!r} has no {name.partition('.')[2]!r}")
        if call is not None and own and not self.override:
            message = f"{name!r} is stackmaster's own, and the tree's _{kind} define it too"
            raise ArgumentError(message, help="rename it, or set `custom_override: true` in the master's settings")
        return call

    def _plan(self, call: Call, name: str, subject: str, arguments: Mapping[str, Data]) -> Plan:
        given = {key: reveal(value) for key, value in arguments.items()}
        if _takes(call, "name"):
            given["name"] = subject
        try:
            returned = self.run(call, **given)
        except (Exception, SystemExit) as error:
            said = f"An exception occurred in this state: {type(error).__name__}: {error}"
            raise StateError(f"{said}\n{self._trace(error)}") from error
        return outcome.done(name, subject, returned)

    def run(self, call: Call, *args: Any, **kwargs: Any) -> Any:
        """Call custom code: with the dry run of now in `__opts__`, and with what it prints kept from results."""
        self.opts["test"] = self.context.test
        with self.output.caught():
            return call(*args, **kwargs)

    def _trace(self, error: BaseException) -> str:
        """The part of a traceback that lies in the tree's own files."""
        shown = {file.shown for file in self._files.values()}
        frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename in shown]
        return "".join(traceback.format_list(frames)).rstrip("\n")

    # --- what there is ------------------------------------------------------------------------------------------

    def find(self, kind: str, name: str) -> Call | None:
        """The function `name` of the files of `kind`, None when there is none that can be loaded."""
        family, _, function = name.partition(".")
        for module in self._named(kind, family):
            if module.name == family and function in module.functions:
                return module.functions[function]
        return None

    def problem(self, kind: str, name: str) -> str:
        """Why the files that should give `name` do not; empty when there are none."""
        problems = (module.problem for module in self._named(kind, name.partition(".")[0]) if module.problem)
        return "; ".join(problems)

    def modules(self, kind: str) -> Iterator[Module]:
        """Every module of a kind, loaded."""
        for file in self._files.values():
            if file.kind == kind and file.names:
                yield self._module(file)

    def _named(self, kind: str, family: str) -> Iterator[Module]:
        return (self._module(f) for f in self._files.values() if f.kind == kind and family in f.names)

    # --- loading ------------------------------------------------------------------------------------------------

    def imported(self, kind: str, name: str) -> types.ModuleType | None:
        """The module or package `name` of a kind for an `import`; None when the tree has none. Raises what it does."""
        path = name.replace(".", "/")
        for candidate in (f"{path}.py", f"{path}/__init__.py"):
            file = self._files.get((kind, candidate))
            if file is not None:
                return self._source(file)
        if any(other.startswith(f"{path}/") for of, other in self._files if of == kind):
            key = (kind, path)
            return self._sources.setdefault(key, _blank(kind, name, package=True))
        return None

    def _module(self, file: CustomFile) -> Module:
        found = self._modules.get(file.shown)
        if found is None:
            found = self._modules[file.shown] = Module(file)
            try:
                self._fill(found)
            except (Exception, SystemExit) as error:  # noqa: BLE001 - whatever custom code raises is why it is not loaded
                found.problem = f"{file.shown} cannot be loaded: {_told(error, file.shown)}"
        return found

    def _fill(self, module: Module) -> None:
        with self.output.caught():
            source = self._source(module.file)
            space = vars(source)
            stem = module.file.path.removesuffix("/__init__.py").removesuffix(".py")
            verdict = space["__virtual__"]() if callable(space.get("__virtual__")) else stem
            verdict, said = verdict if isinstance(verdict, tuple) and len(verdict) == 2 else (verdict, "")
            if not verdict:
                module.problem = f"{module.file.shown} says that it is not for this host" + (
                    f": {said}" if said else ""
                )
                return
            begin = space.get("__init__")
            if callable(begin):
                begin(self.opts)
        module.name = verdict if isinstance(verdict, str) else str(space.get("__virtualname__") or stem)
        module.functions = _functions(space)

    def _source(self, file: CustomFile) -> types.ModuleType:
        """The file, executed once. Raises StateError when it is not what the master signed."""
        key = (file.kind, file.path)
        found = self._sources.get(key)
        if found is not None:
            return found
        content = self.context.blob_path(file.ref).read_bytes()
        if digest(content) != file.ref.digest:
            raise StateError("its content on this host is not what the master signed", where=Where(file.shown))
        package = file.path.endswith("__init__.py")
        dotted = file.path.removesuffix("/__init__.py").removesuffix(".py").replace("/", ".")
        module = _blank(file.kind, dotted, package=package)
        module.__dict__.update(self._dunders, __file__=file.shown, __builtins__=self._importer.builtins())
        text = content.decode("utf-8", "replace")
        linecache.cache[file.shown] = (len(content), None, text.splitlines(keepends=True), file.shown)
        code = compile(content, file.shown, "exec", dont_inherit=True)
        self._sources[key] = module
        try:
            exec(code, module.__dict__)
        except BaseException:
            del self._sources[key]
            raise
        return module


def load(custom: Custom, context: Context, apply: Apply) -> Loader:
    """The code of `custom` for the job whose context this is; nothing of it is loaded yet."""
    return Loader(custom, context, apply)


def _blank(kind: str, dotted: str, *, package: bool) -> types.ModuleType:
    module = types.ModuleType(f"{PREFIX}.{kind}.{dotted}")
    module.__package__ = module.__name__ if package else module.__name__.rpartition(".")[0]
    return module


def _functions(space: Mapping[str, Any]) -> dict[str, Call]:
    """What a module offers, as Salt chooses: public callables that are no classes, of `__load__` when it has that."""
    aliases = space.get("__func_alias__", {})
    wanted = space.get("__load__")
    return {
        aliases.get(name, name): value
        for name, value in space.items()
        if not name.startswith("_")
        and callable(value)
        and not isinstance(value, type)
        and (wanted is None or name in wanted)
    }


def _takes(call: Call, name: str) -> bool:
    """Whether `call` takes an argument of that name."""
    try:
        parameters = inspect.signature(call).parameters
    except (TypeError, ValueError):
        return True
    return name in parameters or any(each.kind is inspect.Parameter.VAR_KEYWORD for each in parameters.values())


def _told(error: BaseException, shown: str) -> str:
    """An error of a custom file with the line of it that was reached."""
    if isinstance(error, SyntaxError) and error.lineno:
        return f"line {error.lineno}: {error.msg}"
    said = str(error) if isinstance(error, ImportError | StateError) else f"{type(error).__name__}: {error}"
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == shown]
    return f"line {lines[-1]}: {said}" if lines and not said.startswith("_") else said
