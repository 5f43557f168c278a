"""The renderer py: a file that is Python code with a function `run`, which gives the data."""

from __future__ import annotations

from collections.abc import Mapping
from types import CodeType, TracebackType
from typing import Any, Final

from master.compiler.yaml import without_lines
from protocol.errors import SlsError, StackmasterError, Where

_FAILURES: Final = (
    StackmasterError, ArithmeticError, AssertionError, AttributeError, ImportError, LookupError, NameError, OSError,
    RuntimeError, SyntaxError, TypeError, ValueError,
)  # fmt: skip
"""What such code can raise."""


def run(file: str, source: str, names: Mapping[str, Any]) -> Any:
    """What `run()` of the code gives, as data without lines. Raises SlsError at the line that failed."""
    given = {
        "__name__": "sls", "__file__": file, "__salt__": names["salt"], "__grains__": names["grains"],
        "__pillar__": names["pillar"], "__opts__": names["opts"], "__env__": names["saltenv"],
        "__sls__": names["sls"], **names,
    }  # fmt: skip
    try:
        exec(_compiled(file, source), given)
        if not callable(given.get("run")):
            raise SlsError("the code has no function run()", help="write `def run(): return {…}`")
        return without_lines(given["run"]())
    except _FAILURES as error:
        line = _line(error.__traceback__, file)
        if isinstance(error, SyntaxError):
            raise SlsError(f"Python: {error.msg}", where=Where(file, error.lineno or 0)) from None
        if isinstance(error, StackmasterError):
            raise SlsError(error.message, where=Where(file, line), help=error.help) from None
        raise SlsError(f"Python: {type(error).__name__}: {error}"[:500], where=Where(file, line)) from None


def _compiled(file: str, source: str) -> CodeType:
    return compile(source, file, "exec", dont_inherit=True)


def _line(trace: TracebackType | None, file: str) -> int:
    line = 0
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == file:
            line = trace.tb_lineno
        trace = trace.tb_next
    return line
