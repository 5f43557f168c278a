"""Requests and results of the compiler as bytes, for the pipes between the master and its compiling processes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, cast

from master.compiler.reads import Recorded
from master.compiler.request import Compiled, CompiledCall, CompilerOptions, Request, Roots
from master.compiler.trees import TreeOptions
from protocol import codec
from protocol.assignment import CUSTOM, decode_assignment
from protocol.data import Data
from protocol.errors import InputError, SlsError, Where
from states.declarations import Parameter, Signature

Task = Literal["assignment", "pillar", "call", "low"]

MAX_REQUEST = 16 * 1024 * 1024
"""Bytes of one request: the grains of a minion, an override, the roots."""

MAX_REPLY = 128 * 1024 * 1024
"""Bytes of one reply: an assignment, a pillar, and the blobs carried in memory."""


def pack_request(task: Task, request: Request) -> bytes:
    """`request` as bytes."""
    options = request.options
    return codec.pack(
        {
            "task": task,
            "minion": request.minion,
            "grains": request.grains,
            "states": _paths(request.roots.states),
            "pillar": _paths(request.roots.pillar),
            "formulas": request.roots.formulas,
            "sls": request.sls,
            "environment": request.environment,
            "override": request.pillar_override,
            "nodegroups": request.nodegroups,
            "level": request.states,
            "explain": request.explain,
            "strict": options.strict_requisites,
            "trees": options.trees.data(),
            "words": options.secret_words,
            "opts": options.opts,
            "custom_override": options.custom_override,
            "allow_py": options.allow_py,
            "strict_states": options.strict_states,
            "aggregate": options.aggregate,
            "function": request.function,
        }
    )


def unpack_request(raw: bytes) -> tuple[Task, Request]:
    """What `pack_request` packed. Raises DecodeError."""
    tree = cast(dict[str, Any], codec.unpack(raw, limit=MAX_REQUEST))
    options = CompilerOptions(tree["strict"], TreeOptions.from_data(tree["trees"]), tuple(tree["words"]), tree["opts"])
    options = replace(options, custom_override=tree["custom_override"], allow_py=tree["allow_py"])
    options = replace(options, strict_states=tree["strict_states"], aggregate=tree["aggregate"])
    request = Request(
        minion=tree["minion"],
        grains=tree["grains"],
        roots=Roots(_roots(tree["states"]), _roots(tree["pillar"]), tree["formulas"]),
        sls=tuple(tree["sls"]),
        environment=tree["environment"],
        pillar_override=tree["override"],
        nodegroups=tree["nodegroups"],
        options=options,
        states=tree["level"],
        explain=tree["explain"],
        function=tree["function"],
    )
    return tree["task"], request


def pack_compiled(compiled: Compiled, recorded: Recorded) -> bytes:
    """A result, and what was read for it, as bytes."""
    return codec.pack(
        {
            "reads": _packed_reads(recorded),
            "assignment": compiled.assignment.encoded(),
            "blobs": _packed_blobs(compiled.blobs),
            "pillar": compiled.pillar,
            "warnings": compiled.warnings,
            "origins": compiled.origins,
        }
    )


def pack_call(call: CompiledCall) -> bytes:
    """A call's code of the tree as bytes."""
    signature = call.signature
    return codec.pack(
        {
            "custom": None if call.custom is None else codec.encode(call.custom),
            "blobs": _packed_blobs(call.blobs),
            "secrets": call.secrets,
            "arguments": None if signature is None else [[p.name, p.required] for p in signature.parameters.values()],
            "loose": None if signature is None else [signature.open, signature.rest],
            "names": call.names,
        }
    )


def pack_pillar(pillar: Mapping[str, Data], recorded: Recorded) -> bytes:
    """A pillar, and what was read for it, as bytes."""
    return codec.pack({"pillar": pillar, "reads": _packed_reads(recorded)})


def pack_low(document: Mapping[str, Data]) -> bytes:
    """The document of a low state as bytes."""
    return codec.pack({"low": document})


def unpack_low(raw: bytes) -> Mapping[str, Data]:
    """What `pack_low` packed. Raises the SlsError that `pack_error` packed; DecodeError."""
    return cast(Mapping[str, Data], _reply(raw)["low"])


def pack_error(error: InputError) -> bytes:
    """An error as bytes."""
    where = error.where
    return codec.pack(
        {"error": [error.message, error.help, where.file, where.line, where.column]},
    )


def pack_answer(answer: Data) -> bytes:
    """The answer to a question as bytes; a refusal is packed by `pack_error`."""
    return codec.pack({"answer": answer})


def unpack_answer(raw: bytes) -> Data:
    """What `pack_answer` packed. Raises the SlsError that `pack_error` packed; DecodeError."""
    return cast(Data, _reply(raw)["answer"])


def unpack_question(raw: bytes) -> dict[str, Any]:
    """A question: `function`, `args` and `kwargs`, or `decrypt`. Raises DecodeError."""
    return cast(dict[str, Any], codec.unpack(raw, limit=MAX_REQUEST))


def unpack_compiled(raw: bytes) -> tuple[Compiled, Recorded]:
    """What `pack_compiled` packed. Raises the SlsError that `pack_error` packed; DecodeError."""
    tree = _reply(raw)
    blobs = _unpacked_blobs(tree["blobs"])
    warnings, origins = tuple(tree["warnings"]), tuple(tree["origins"])
    compiled = Compiled(decode_assignment(tree["assignment"]), blobs, tree["pillar"], warnings, origins)
    return compiled, _unpacked_reads(tree["reads"])


def unpack_call(raw: bytes) -> CompiledCall:
    """What `pack_call` packed. Raises the SlsError that `pack_error` packed; DecodeError."""
    tree = _reply(raw)
    custom = None if tree["custom"] is None else codec.decode(tree["custom"], CUSTOM)
    signature = None
    if tree["arguments"] is not None:
        parameters = {name: Parameter(name, Any, required, None) for name, required in tree["arguments"]}
        signature = Signature(parameters, *tree["loose"])
    return CompiledCall(custom, _unpacked_blobs(tree["blobs"]), tuple(tree["secrets"]), signature, tuple(tree["names"]))


def unpack_pillar(raw: bytes) -> tuple[Mapping[str, Data], Recorded]:
    """What `pack_pillar` packed. Raises the SlsError that `pack_error` packed; DecodeError."""
    tree = _reply(raw)
    return cast(Mapping[str, Data], tree["pillar"]), _unpacked_reads(tree["reads"])


def _reply(raw: bytes) -> dict[str, Any]:
    tree = cast(dict[str, Any], codec.unpack(raw, limit=MAX_REPLY))
    if "error" in tree:
        message, help, file, line, column = tree["error"]
        raise SlsError(message, where=Where(file, line, column), help=help)
    return tree


def _packed_reads(recorded: Recorded) -> Data:
    notes: list[Data] = [[list(cast(tuple[Data, ...], question)), answer] for question, answer in recorded.notes]
    files: list[Data] = [[*question, answer] for question, answer in recorded.files]
    return [notes, files, recorded.once]


def _unpacked_reads(tree: Any) -> Recorded:
    notes, files, once = tree
    told = tuple(((level, environment, verb, name), answer) for level, environment, verb, name, answer in files)
    return Recorded(tuple((tuple(question), answer) for question, answer in notes), told, once)


def _packed_blobs(blobs: Mapping[str, bytes | Path]) -> dict[str, bytes | str]:
    return {name: str(found) if isinstance(found, Path) else found for name, found in blobs.items()}


def _unpacked_blobs(tree: Mapping[str, bytes | str]) -> dict[str, bytes | Path]:
    return {name: Path(found) if isinstance(found, str) else found for name, found in tree.items()}


def _paths(roots: Mapping[str, tuple[Path, ...]]) -> dict[str, list[str]]:
    return {environment: [str(path) for path in paths] for environment, paths in roots.items()}


def _roots(tree: Mapping[str, list[str]]) -> dict[str, tuple[Path, ...]]:
    return {environment: tuple(Path(path) for path in paths) for environment, paths in tree.items()}
