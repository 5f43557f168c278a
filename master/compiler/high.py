"""What one SLS file declares, read from its data with Salt's rules of structure, each thing with its line."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from master.compiler.several import raise_all
from master.compiler.words import REFERENCES, REQUISITES_IN, WORDS
from master.compiler.yaml import List, Map, line_of
from protocol.errors import SlsError, Where

_GATHERED = frozenset({*REQUISITES_IN, "use", "use_in"} - {"listen_in"})
"""References for others, of which several lists count together."""

Place = Callable[[int], Where]
"""From a line of the rendered text to the place in the template that an error names."""


@dataclass(slots=True)
class Argument:
    """One `- name: value` of a state."""

    name: str
    value: Any
    where: Where


@dataclass(slots=True)
class Reference:
    """One item of a requisite: the state module (`id` for any, `sls` for a file) and an id, name, file or glob."""

    kind: str
    module: str
    value: str
    where: Where
    bare: bool = False

    def __str__(self) -> str:
        return self.value if self.module == "id" else f"{self.module}: {self.value}"


@dataclass(slots=True)
class Declaration:
    """One state under one id. `fun` is empty only in an `extend` that leaves the function as it is.

    `given` are its `_in` forms and `use`, once they have become requisites and arguments of others; `kinds` are those
    of the lists of references that are written, also of empty ones.
    """

    id: str
    state: str
    fun: str
    sls: str
    environment: str
    where: Where
    arguments: list[Argument] = field(default_factory=list)
    references: list[Reference] = field(default_factory=list)
    order: int | None = None
    included_from: list[str] = field(default_factory=list)
    given: list[Reference] = field(default_factory=list)
    kinds: dict[str, None] = field(default_factory=dict)

    @property
    def label(self) -> str:
        """How an error names it."""
        return f"{self.state}.{self.fun} (id {self.id!r})"

    def argument(self, name: str) -> Any:
        """The value of the argument `name`, None when it is not given."""
        return next((argument.value for argument in self.arguments if argument.name == name), None)

    def put(self, argument: Argument) -> None:
        """Set an argument, in the place of one of the same name; `name` also takes the place of `names`."""
        replaced = ("name", "names") if argument.name == "name" else (argument.name,)
        for index, old in enumerate(self.arguments):
            if old.name in replaced:
                self.arguments[index] = argument
                return
        self.arguments.append(argument)


@dataclass(slots=True)
class Exclusion:
    """What `exclude` removes: the id, or every id of the files that the glob `sls` fits."""

    id: str = ""
    sls: str = ""


@dataclass(slots=True)
class Inclusion:
    """One item of `include`, as it is written; `environment` is empty for the file's own."""

    sls: str
    environment: str
    where: Where
    options: dict[str, Any] = field(default_factory=dict)


@dataclass(slots=True)
class Content:
    """Everything one SLS file says."""

    declarations: list[Declaration] = field(default_factory=list)
    extends: list[Declaration] = field(default_factory=list)
    exclusions: list[Exclusion] = field(default_factory=list)


class Reader:
    """Reads the data of the file `sls` of `environment`; `place` says where a line of it is. Raises SlsError."""

    def __init__(self, sls: str, environment: str, place: Place) -> None:
        self._sls = sls
        self._environment = environment
        self._place = place

    def inclusions(self, data: Map) -> list[Inclusion]:
        """What `include` names, in order."""
        items = data.get("include")
        if items is None and "include" not in data:
            return []
        if not isinstance(items, List):
            raise self._error("'include' must be a list", data, "include", "write '- name' for each file")
        found = []
        for index, item in enumerate(items):
            where = self._place(line_of(items, index))
            if isinstance(item, str):
                found.append(Inclusion(item, "", where))
            elif isinstance(item, Map) and len(item) == 1:
                ((key, value),) = item.items()
                found.append(self._mapped_inclusion(key, value, where))
            else:
                raise self._error("an item of 'include' must be the name of a file", items, index)
        return found

    def _mapped_inclusion(self, key: Any, value: Any, where: Where) -> Inclusion:
        if isinstance(value, str):
            return Inclusion(value, str(key), where)
        if isinstance(value, Map):
            return Inclusion(str(key), "", where, dict(value))
        raise SlsError("an item of 'include' must be 'name', 'environment: name' or 'name: {defaults: …}'", where=where)

    def content(self, data: Map, mistakes: list[SlsError] | None = None) -> Content:
        """The declarations, extends and exclusions of the file; with `mistakes`, what is wrong is added to them."""
        content = Content()
        errors: list[SlsError] = []
        for identifier, body in data.items():
            if identifier == "include" or (isinstance(identifier, str) and identifier.startswith("__")):
                continue
            try:
                if identifier == "extend":
                    content.extends += self._extends(data, body)
                elif identifier == "exclude":
                    content.exclusions += self._exclusions(data, body)
                else:
                    content.declarations += self._declared(data, identifier, body, extending=False)
            except SlsError as error:
                errors.append(error)
        if mistakes is None:
            raise_all(errors)
        else:
            mistakes += errors
        return content

    def _extends(self, data: Map, body: Any) -> list[Declaration]:
        if not isinstance(body, Map):
            raise self._error("'extend' must be a mapping of ids", data, "extend")
        found: list[Declaration] = []
        for identifier, inner in body.items():
            found += self._declared(body, identifier, inner, extending=True)
        return found

    def _exclusions(self, data: Map, body: Any) -> list[Exclusion]:
        if not isinstance(body, List):
            raise self._error("'exclude' must be a list", data, "exclude")
        found = []
        for index, item in enumerate(body):
            if isinstance(item, str):
                found.append(Exclusion(sls=item))
            elif isinstance(item, Map) and len(item) == 1 and next(iter(item)) in ("id", "sls"):
                ((key, value),) = item.items()
                found.append(Exclusion(**{key: str(value)}))
            else:
                raise self._error("an item of 'exclude' must be 'sls: name' or 'id: name'", body, index)
        return found

    def _declared(self, holder: Map, identifier: Any, body: Any, *, extending: bool) -> list[Declaration]:
        if not isinstance(identifier, str):
            kind = "null" if identifier is None else type(identifier).__name__
            message = f"the id {identifier!r} is {kind}, and an id must be a string"
            raise self._error(message, holder, identifier, "quote it")
        if isinstance(body, str):
            module, _, rest = body.partition(".")
            function = rest.partition(".")[0]
            if not function:
                help = f"write '{module}.<function>', as in 'pkg.installed'"
                raise self._error(f"the id {identifier!r} names no function of {body!r}", holder, identifier, help)
            return [self._declaration(identifier, module, function, self._place(line_of(holder, identifier)))]
        if not isinstance(body, Map):
            raise self._error(self._shape(identifier, body), holder, identifier, "write:  id:\n    pkg.installed: []")
        found: dict[str, Declaration] = {}
        for key, value in body.items():
            if isinstance(key, str) and key.startswith("__"):
                continue
            declaration = self._state(identifier, body, key, value, extending)
            if declaration.state in found:
                message = f"the id {identifier!r} declares {declaration.state!r} twice"
                raise self._error(message, body, key, "give each an id of its own, and a 'name'")
            found[declaration.state] = declaration
        # Salt moves `module.function:` behind the keys that name no function
        dotted = {str(key).partition(".")[0] for key in body if "." in str(key)}
        return sorted(found.values(), key=lambda declaration: declaration.state in dotted)

    def _shape(self, identifier: str, body: Any) -> str:
        if body is None:
            return f"the id {identifier!r} declares nothing"
        if isinstance(body, list):
            return f"the id {identifier!r} holds a list, and must hold a mapping of states"
        return f"the id {identifier!r} must hold a mapping of states, not {str(body)!r}"

    def _state(self, identifier: str, body: Map, key: Any, value: Any, extending: bool) -> Declaration:
        module, _, rest = str(key).partition(".")
        function = rest.partition(".")[0]
        if not isinstance(key, str) or not module:
            raise self._error(f"the id {identifier!r} holds {key!r}, which is no state", body, key)
        if key in REFERENCES:
            help = f"indent it below a state, as '- {key}:'"
            raise self._error(f"the id {identifier!r} has {key!r} in the place of a state", body, key, help)
        if not isinstance(value, List):
            raise self._error(self._not_a_list(identifier, key, value), body, key, self._list_help(key, value))
        declaration = self._declaration(identifier, module, function, self._place(line_of(body, key)))
        for index, item in enumerate(value):
            self._item(declaration, value, index, item)
        if not declaration.fun and not extending:
            help = f"write '{module}.<function>:', as in 'pkg.installed:'"
            raise self._error(f"no function is declared for {module!r} in the id {identifier!r}", body, key, help)
        return declaration

    def _not_a_list(self, identifier: str, key: str, value: Any) -> str:
        if value is None:
            return f"{key!r} in the id {identifier!r} has a colon and no arguments"
        return f"the arguments of {key!r} in the id {identifier!r} must be a list"

    def _list_help(self, key: str, value: Any) -> str:
        if value is None:
            return f"write '{key}: []' for no arguments"
        if isinstance(value, str) and "." not in key:
            return f"write '{key}.{value}: []'"
        return "put '- ' before each argument"

    def _declaration(self, identifier: str, module: str, function: str, where: Where) -> Declaration:
        return Declaration(identifier, module, function, self._sls, self._environment, where)

    def _item(self, declaration: Declaration, items: List, index: int, item: Any) -> None:
        if isinstance(item, str):
            self._function(declaration, items, index, item)
        elif isinstance(item, Map) and len(item) == 1:
            ((key, value),) = item.items()
            self.add(declaration, key, value, item, self._place(line_of(item, key)))
        elif isinstance(item, Map) and len(item) > 1:
            self._several(declaration, items, index, item)
        else:
            message = f"{item!r} in the id {declaration.id!r} is no argument"
            raise self._error(message, items, index, "write '- name: value'")

    def _several(self, declaration: Declaration, items: List, index: int, item: Map) -> None:
        """Arguments without a '- ' of their own: Salt takes them, save behind a requisite, and an `order` not first."""
        first = next(iter(item))
        if first in REFERENCES:
            names = ", ".join(map(repr, item))
            message = f"{declaration.state} in the id {declaration.id!r} has {names} in one item of its list"
            raise self._error(message, items, index, "put '- ' before each of them")
        for key, value in item.items():
            if key != "order" or key == first:
                self.add(declaration, key, value, item, self._place(line_of(item, key)))

    def _function(self, declaration: Declaration, items: List, index: int, word: str) -> None:
        if any(mark in word for mark in " :"):
            message = f"{word!r} in the id {declaration.id!r} is no argument"
            raise self._error(message, items, index, "is a ':' or a space behind it missing?")
        if declaration.fun:
            message = f"{declaration.state!r} in the id {declaration.id!r} has two functions: {declaration.fun}, {word}"
            raise self._error(message, items, index, "write '- name: value' for an argument")
        declaration.fun = word

    def add(self, declaration: Declaration, key: Any, value: Any, holder: Any, where: Where) -> None:
        """Add the argument or requisite `key` to `declaration`. Raises SlsError."""
        if not isinstance(key, str):
            message = f"the argument {key!r} of {declaration.state} in the id {declaration.id!r} is not a string"
            raise SlsError(message, where=where)
        if key in REFERENCES:
            found = self._references(declaration, key, value, where)
            if key not in _GATHERED:  # of two lists of one kind the second counts, as on Salt
                declaration.references = [kept for kept in declaration.references if kept.kind != key]
            declaration.references += found
            declaration.kinds[key] = None
        elif key != "state" and not key.startswith("__"):
            declaration.arguments.append(Argument(key, value, where))

    def _references(self, declaration: Declaration, kind: str, value: Any, where: Where) -> list[Reference]:
        if not isinstance(value, list):
            help = f"write:  - {kind}:\n      - pkg: name"
            raise SlsError(f"{kind!r} in the id {declaration.id!r} must be a list", where=where, help=help)
        found = []
        for index, item in enumerate(value):
            place = self._place(line_of(value, index)) if isinstance(value, List) else where
            if isinstance(item, str):
                found.append(Reference(kind, "id", item, place, bare=True))
                continue
            if not isinstance(item, dict) or len(item) != 1:
                message = f"an item of {kind!r} in the id {declaration.id!r} must be 'module: id' or an id"
                raise SlsError(message, where=place)
            ((module, name),) = item.items()
            if name is None:
                continue
            if isinstance(module, str) and "." in module:
                help = f"write '{module.partition('.')[0]}: {name}'"
                raise SlsError(
                    f"{kind!r} in the id {declaration.id!r} names the function {module!r}", where=place, help=help
                )
            if isinstance(name, list | dict):
                raise SlsError(f"{kind!r} in the id {declaration.id!r} must name one state in an item", where=place)
            found.append(Reference(kind, str(module), str(name), place))
        return found

    def _error(self, message: str, holder: Any, key: Any, help: str = "") -> SlsError:
        return SlsError(message, where=self._place(line_of(holder, key)), help=help)


def suggestion(name: str, known: Any) -> str:
    """The nearest of the `known` names and of the words that every state takes, as help; or nothing."""
    close = difflib.get_close_matches(name, [*known, *WORDS], n=1)
    return f"did you mean {close[0]!r}?" if close else ""
