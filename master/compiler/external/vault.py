"""Pillar from Vault's key-value store over HTTP (versions 1 and 2 of the engine), or from what answers as it does."""

from __future__ import annotations

import json
import ssl
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from http.client import HTTPException, HTTPMessage
from pathlib import Path
from typing import IO, Any
from urllib.error import HTTPError, URLError
from urllib.parse import quote, urlsplit
from urllib.request import HTTPRedirectHandler, HTTPSHandler, OpenerDirector, ProxyHandler, Request, build_opener

from master.compiler.external.source import Asked, Source, check_places
from master.compiler.external.tokens import first_line
from master.compiler.merge import combined
from protocol.errors import ConfigError, SlsError, UnreachableError

_MOST = 1024 * 1024
"""Bytes of one answer."""

_LOOPBACK = ("127.0.0.1", "::1", "localhost")


@dataclass(frozen=True, slots=True)
class Vault(Source):
    """Reads secrets, each a mapping, and merges them (https://developer.hashicorp.com/vault/api-docs/secret/kv).

    url          of the server, https (http only to this host itself)
    token_file   holds the token in its first line; others must not read it
    path, paths  what to read: mount and path without `data`, as in secret/minions/{minion}
    kv           version of the key-value engine, 1 or 2
    ca_file      certificates that may sign the server's, instead of the system's
    namespace    of Vault Enterprise
    nesting_key  the pillar key that all is put below, `a:b` nests
    missing      what an absent secret means: error or ignore
    deadline     seconds for each request
    secret       all that it gives is secret; true unless it is said

    A redirect is not followed: the token would go with it.
    """

    secret: bool = True
    url: str = ""
    token_file: Path | None = None
    path: str = ""
    paths: tuple[str, ...] = ()
    kv: int = 2
    ca_file: Path | None = None
    namespace: str = ""
    nesting_key: str = ""
    missing: str = "error"
    deadline: float = 5.0

    def check(self, allowed: Sequence[str]) -> None:
        """Refuse addresses and paths that must not be used. Raises ConfigError."""
        parts = urlsplit(self.url)
        if parts.scheme not in ("https", "http") or not parts.hostname or parts.query or parts.username:
            raise ConfigError("'url' must be https://host:port")
        if parts.scheme == "http" and parts.hostname not in _LOOPBACK:
            raise ConfigError("'url' must be https: the token and the secrets would cross the network in the clear")
        if self.token_file is None or not self.token_file.is_absolute():
            raise ConfigError("'token_file' must be an absolute path")
        if self.kv not in (1, 2):
            raise ConfigError("'kv' must be 1 or 2")
        if self.missing not in ("error", "ignore"):
            raise ConfigError("'missing' must be error or ignore")
        if not 0 < self.deadline <= 60:
            raise ConfigError("'deadline' must be more than 0 and at most 60 seconds")
        if not self._paths():
            raise ConfigError("'path' or 'paths' must be given, as in secret/minions/{minion}")
        for path in self._paths():
            check_places(path)
            if "/" not in path.strip("/") or any(part in ("", ".", "..") for part in path.strip("/").split("/")):
                raise ConfigError(f"{path!r} is no mount and path", help="write mount/path, as in secret/ceph")

    def given(self, asked: Asked) -> Any:
        """All secrets of the minion, later paths over earlier ones. Raises StackmasterError."""
        whole: Any = {}
        assert self.token_file is not None
        opener, token = self._opener(), first_line(self.token_file)
        for path in self._paths():
            found = self._read(opener, token, asked.filled(path).strip("/"))
            if found is None and self.missing == "error":
                raise SlsError(f"Vault has no secret {asked.filled(path)!r}", help="or set  missing: ignore")
            whole = combined(whole, found or {}, "recurse")
        for step in reversed([step for step in self.nesting_key.split(":") if step]):
            whole = {step: whole}
        return whole

    def _paths(self) -> tuple[str, ...]:
        return (self.path, *self.paths) if self.path else self.paths

    def _opener(self) -> OpenerDirector:
        try:
            context = ssl.create_default_context(cafile=str(self.ca_file) if self.ca_file is not None else None)
        except OSError as error:
            raise SlsError(f"the certificates {self.ca_file} cannot be read: {error}") from None
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        return build_opener(ProxyHandler({}), HTTPSHandler(context=context), _NoRedirect())

    def _read(self, opener: OpenerDirector, token: str, path: str) -> Mapping[str, Any] | None:
        """The secret at `path`; None when there is none."""
        mount, _, rest = path.partition("/")
        inner = rest if self.kv == 1 or rest.startswith("data/") else f"data/{rest}"
        request = Request(f"{self.url.rstrip('/')}/v1/{quote(mount)}/{quote(inner)}", method="GET")
        request.add_unredirected_header("X-Vault-Token", token)
        request.add_unredirected_header("X-Vault-Request", "true")
        if self.namespace:
            request.add_unredirected_header("X-Vault-Namespace", self.namespace)
        try:
            answer = self._fetched(opener, request)
        except HTTPError as error:
            with error:
                if error.code == 404:
                    return None
                raise _refused(error, path) from None
        except (URLError, OSError, HTTPException) as error:
            reason = getattr(error, "reason", error)
            raise UnreachableError(f"Vault at {self.url} does not answer: {reason}") from None
        return self._data(answer, path)

    def _fetched(self, opener: OpenerDirector, request: Request) -> bytes:
        end = time.monotonic() + self.deadline
        content = b""
        with opener.open(request, timeout=self.deadline) as response:
            while chunk := response.read1(65536):
                content += chunk
                if len(content) > _MOST:
                    raise SlsError(f"Vault answers with more than {_MOST} bytes")
                if time.monotonic() > end:
                    raise UnreachableError(f"Vault at {self.url} took more than {self.deadline:g} s")
        return content

    def _data(self, answer: bytes, path: str) -> Mapping[str, Any] | None:
        try:
            data = json.loads(answer)["data"]
            found = data["data"] if self.kv == 2 else data
        except (ValueError, KeyError, TypeError, RecursionError):
            help = "is 'kv' the version of the engine at this mount?"
            raise SlsError(f"Vault's answer for {path!r} is not that of its key-value store", help=help) from None
        if found is None:
            return None
        if not isinstance(found, Mapping):
            raise SlsError(f"Vault's secret {path!r} is no mapping")
        return found


class _NoRedirect(HTTPRedirectHandler):
    """Refuses to be sent elsewhere."""

    def redirect_request(
        self, req: Request, fp: IO[bytes], code: int, msg: str, headers: HTTPMessage, newurl: str
    ) -> Request | None:
        """Nothing is asked elsewhere: the answer stays the redirect, an error."""
        return None


def _refused(error: HTTPError, path: str) -> SlsError:
    if error.code in (301, 302, 303, 307, 308):
        help = "name the active server in 'url'"
        return SlsError(f"Vault sends elsewhere for {path!r}, which is not followed", help=help)
    told = {
        400: "does not understand the question (HTTP 400)",
        403: "refuses the token (HTTP 403)",
        503: "is sealed or not ready (HTTP 503)",
    }.get(error.code, f"answers with HTTP {error.code}")
    help = "does the token's policy allow to read it, and is it still valid?" if error.code == 403 else ""
    return SlsError(f"Vault {told} for {path!r}", help=help)
