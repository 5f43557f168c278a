"""Pillar from rows of a database: SQLite with what Python has, PostgreSQL and MySQL with a driver that is installed."""

from __future__ import annotations

import importlib
import sqlite3
import time
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from master.compiler.external.source import Asked, Source
from protocol.data import Data
from protocol.errors import ConfigError, SlsError

_MOST_ROWS = 20_000
_STEPS = 1000
"""Instructions of SQLite between looks at the clock."""

_DRIVERS: Final[Mapping[str, tuple[str, str]]] = {
    "sqlite": ("sqlite3", ""),
    "postgres": ("psycopg2", "apt-get install python3-psycopg2"),
    "mysql": ("pymysql", "apt-get install python3-pymysql"),
}
_QUERY: Final = ("query", "depth", "as_list", "ignore_null", "key")


@dataclass(frozen=True, slots=True)
class Sql(Source):
    """Salt's way from rows to a tree (salt/pillar/sql_base.py).

    driver         sqlite, postgres or mysql
    database       the file of the database, or its name
    host, port, user, password_file
                   of a server; the password is the first line of the file, which others must not read
    queries        each a SELECT, or a mapping with `query`, `depth`, `as_list`, `ignore_null` and `key`; each `%s` or
                   `?` in it is the minion's id, passed as a parameter
    deadline       seconds for all of them
    secret         all that it gives is secret

    Columns but the last are nested keys, the last is the value; with `depth` so many are keys and the others a mapping
    of column to value. Without `as_list` a later row of the same keys replaces. `key` puts the whole below a key.
    """

    driver: str = "sqlite"
    database: str = ""
    host: str = ""
    port: int = 0
    user: str = ""
    password_file: Path | None = None
    queries: tuple[Data, ...] = ()
    deadline: float = 10.0

    def check(self, allowed: Sequence[str]) -> None:
        """Refuse an unknown or missing driver and what is no query. Raises ConfigError."""
        if self.driver not in _DRIVERS:
            raise ConfigError(f"there is no driver {self.driver!r}", help=f"there is {', '.join(_DRIVERS)}")
        module, install = _DRIVERS[self.driver]
        try:
            importlib.import_module(module)
        except ImportError:
            raise ConfigError(f"the driver {self.driver} needs the Python module {module}", help=install) from None
        if not self.database or not self.queries:
            raise ConfigError("'database' and 'queries' must be given")
        if not 0 < self.deadline <= 60:
            raise ConfigError("'deadline' must be more than 0 and at most 60 seconds")
        for query in self.queries:
            _query(query)

    def given(self, asked: Asked) -> Any:
        """The tree of all rows. Raises SlsError."""
        tree: dict[str, Any] = {}
        if self.driver == "sqlite":
            with closing(self._sqlite()) as connection:
                self._ask(connection, asked, tree, sqlite3.Error, "?")
        else:
            module = importlib.import_module(_DRIVERS[self.driver][0])
            with closing(self._server(module)) as connection:
                self._ask(connection, asked, tree, module.Error, "%s")
        return tree

    def _sqlite(self) -> sqlite3.Connection:
        try:
            connection = sqlite3.connect(f"{Path(self.database).as_uri()}?mode=ro", uri=True, timeout=self.deadline)
        except (sqlite3.Error, ValueError) as error:
            raise SlsError(f"{self.database} cannot be opened: {error}") from None
        end = time.monotonic() + self.deadline
        connection.set_progress_handler(lambda: int(time.monotonic() > end), _STEPS)
        return connection

    def _server(self, module: Any) -> Any:
        seconds = max(1, int(self.deadline))
        given: dict[str, Any] = {"host": self.host or None, "port": self.port or None, "user": self.user or None}
        if self.password_file is not None:
            from master.compiler.external.tokens import first_line

            given["password"] = first_line(self.password_file)
        if self.driver == "postgres":
            given |= {"dbname": self.database, "connect_timeout": seconds}
            given["options"] = f"-c statement_timeout={seconds * 1000} -c default_transaction_read_only=on"
        else:
            given |= {"database": self.database, "connect_timeout": seconds, "read_timeout": seconds}
        try:
            return module.connect(**{key: value for key, value in given.items() if value is not None})
        except module.Error as error:
            raise SlsError(f"the database {self.database} on {self.host} cannot be reached: {error}") from None

    def _ask(self, connection: Any, asked: Asked, tree: dict[str, Any], failure: type[Exception], mark: str) -> None:
        for each in self.queries:
            query = _query(each)
            text = query.text.replace("%s", mark) if mark == "?" else query.text.replace("?", mark)
            try:
                cursor = connection.cursor()
                cursor.execute(text, (asked.minion,) * text.count(mark))
                columns = [str(column[0]) for column in cursor.description or ()]
                rows = cursor.fetchmany(_MOST_ROWS + 1)
            except failure as error:
                why = f"it took more than {self.deadline:g} s" if str(error) == "interrupted" else str(error)
                raise SlsError(f"the query {query.text[:80]!r} failed: {why}") from None
            if len(rows) > _MOST_ROWS:
                raise SlsError(f"the query {query.text[:80]!r} gives more than {_MOST_ROWS} rows")
            _put_rows(tree, query, columns, rows)


@dataclass(frozen=True, slots=True)
class _Query:
    text: str
    depth: int = 0
    as_list: bool = False
    ignore_null: bool = False
    key: str = field(default="")


def _query(given: Any) -> _Query:
    """One query as it is written. Raises ConfigError."""
    if isinstance(given, str):
        return _Query(given)
    if not isinstance(given, Mapping) or not isinstance(given.get("query"), str):
        raise ConfigError("a query must be text, or a mapping with 'query'")
    for name in given:
        if name not in _QUERY:
            raise ConfigError(f"a query has no option {name!r}", help=f"it takes {', '.join(_QUERY)}")
    depth = given.get("depth", 0)
    if isinstance(depth, bool) or not isinstance(depth, int) or depth < 0:
        raise ConfigError("'depth' of a query must be a number from 0")
    return _Query(
        given["query"], depth, bool(given.get("as_list")), bool(given.get("ignore_null")), str(given.get("key", ""))
    )


def _put_rows(tree: dict[str, Any], query: _Query, columns: list[str], rows: Sequence[Sequence[Any]]) -> None:
    for step in filter(None, query.key.split(":")):
        tree = tree.setdefault(step, {})
    depth = query.depth if 0 < query.depth < len(columns) else len(columns) - 1
    for row in rows:
        place = tree
        for value in row[: depth - 1] if depth == len(columns) - 1 else row[:depth]:
            inner = place.setdefault(_text(value), {})
            if not isinstance(inner, dict):
                raise SlsError(f"the query {query.text[:80]!r} gives {_text(value)!r} as a value and as a key")
            place = inner
        if depth == len(columns) - 1:
            named = [(_text(row[depth - 1]) if depth else columns[0], row[-1])]
        else:
            named = list(zip(columns[depth:], row[depth:], strict=True))
        for name, value in named:
            _put(place, name, value, query)


def _put(place: dict[str, Any], name: str, value: Any, query: _Query) -> None:
    if value is None and query.ignore_null:
        return
    plain = value if value is None or isinstance(value, bool | int | float | str) else _text(value)
    if query.as_list and name in place:
        if not isinstance(place[name], list):
            place[name] = [place[name]]
        place[name].append(plain)
    else:
        place[name] = plain


def _text(value: Any) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
