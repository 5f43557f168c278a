"""The SLS files of one compilation: found by name, rendered once each, includes before what includes them."""

from __future__ import annotations

from dataclasses import dataclass, field

from master.compiler.high import Content, Declaration, Exclusion, Inclusion, Reader
from master.compiler.render import Document, Session
from master.compiler.several import apart
from protocol.errors import SlsError, Where

_FIRST_ORDER = 10000
"""The automatic order of the first state, as Salt counts."""

_MOST_FILES = 5000
"""SLS files of one compilation."""


@dataclass(slots=True)
class High:
    """All that the files of one compilation declare: the states of each id, a file's own before its includes'."""

    ids: dict[str, dict[str, Declaration]] = field(default_factory=dict)
    extends: list[Declaration] = field(default_factory=list)
    exclusions: list[Exclusion] = field(default_factory=list)
    files: dict[tuple[str, str], str] = field(default_factory=dict)
    inclusions: list[tuple[Where, tuple[str, ...]]] = field(default_factory=list)

    def declarations(self) -> list[Declaration]:
        """Every state, in that order."""
        return [declaration for states in self.ids.values() for declaration in states.values()]


class Loader:
    """Loads SLS files with what they include into one High. Raises SlsError; with `mistakes`, adds errors to them."""

    def __init__(self, session: Session, mistakes: list[SlsError] | None = None) -> None:
        self._session = session
        self._mistakes = mistakes
        self._order = _FIRST_ORDER
        self._first: dict[str, Declaration] = {}
        self.high = High()

    def load(self, environment: str, sls: str, where: Where | None = None) -> None:
        """Load `sls` with what it includes, unless it is loaded."""
        for declaration in self._load(environment, sls.replace("/", ".").strip("."), where):
            self.high.ids.setdefault(declaration.id, {})[declaration.state] = declaration

    def _load(self, environment: str, sls: str, where: Where | None) -> list[Declaration]:
        """What `sls` declares and, behind that, what its includes declare: Salt's order, which breaks ties."""
        if (environment, sls) in self.high.files:
            return []
        document = self._document(environment, sls, where)
        self.high.files[environment, sls] = document.file
        if len(self.high.files) > _MOST_FILES:
            raise SlsError(f"more than {_MOST_FILES} files are included", where=where)
        reader = Reader(sls, environment, document.place)
        included: list[Declaration] = []
        for inclusion in reader.inclusions(document.data):
            included += self._include(environment, document, inclusion)
        for declaration in included:
            declaration.included_from.append(sls)
        return self._add(reader.content(document.data, self._mistakes)) + included

    def _document(self, environment: str, sls: str, where: Where | None) -> Document:
        roots = self._session.roots(environment, where)
        file = roots.sls_file(sls)
        if file is None:
            help = roots.near(sls, roots.sls_names())
            raise SlsError(f"there is no SLS {sls!r} in environment {environment!r}", where=where, help=help)
        return self._session.document(environment, sls, file)

    def _include(self, environment: str, document: Document, inclusion: Inclusion) -> list[Declaration]:
        target = inclusion.environment or environment
        name = resolved(inclusion.sls, document)
        if name is None:
            raise SlsError(f"{inclusion.sls!r} leads above the top of the tree", where=inclusion.where)
        found: list[Declaration] = []
        names = self._session.roots(target, inclusion.where).matching_sls(name)
        self.high.inclusions.append((inclusion.where, tuple(names)))
        for sls in names:
            try:
                found += self._load(target, sls, inclusion.where)
            except SlsError as error:
                self._tell(error)
        return found

    def _tell(self, error: SlsError) -> None:
        if self._mistakes is None:
            raise error
        self._mistakes += apart(error)

    def _add(self, content: Content) -> list[Declaration]:
        for declaration in content.declarations:
            if declaration.argument("order") is None:
                declaration.order = self._order
                self._order += 1
            other = self._first.setdefault(declaration.id, declaration)
            if (other.sls, other.environment) != (declaration.sls, declaration.environment):
                message = f"the id {declaration.id!r} is already declared in {other.where}"
                help = "give one of them another id, or use 'extend'"
                self._tell(SlsError(message, where=declaration.where, help=help))
        self.high.extends += content.extends
        self.high.exclusions += content.exclusions
        return content.declarations


def resolved(name: str, document: Document) -> str | None:
    """The full name of an included SLS: a leading dot is beside the including file, each further one goes up one.

    None when it goes up beyond the top.
    """
    return full_name(name, document.sls, document.file)


def full_name(name: str, sls: str, file: str) -> str | None:
    """As `resolved`, of a name that the file `file` of the SLS `sls` includes."""
    if not name.startswith("."):
        return name.replace("/", ".")
    rest = name.lstrip(".")
    levels = len(name) - len(rest)
    parts = sls.split(".")
    if not file.endswith("/init.sls"):
        parts.pop()
    if levels - 1 > len(parts):
        return None
    return ".".join([*parts[: len(parts) - levels + 1], rest])
