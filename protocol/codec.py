"""msgpack under limits, and one decoder generated for each message class from its annotations.

A message is a frozen dataclass with a class variable `KIND`. On the wire it is the array `[KIND, field, field, …]`
in the order of its fields. Nested dataclasses are arrays of their fields; a union of message classes is told apart
by its KIND. Whatever bytes come, `decode` gives a message or raises DecodeError, never another error.
"""

from __future__ import annotations

import math
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields, is_dataclass
from enum import Enum
from functools import cache
from typing import Any, TypeVar, Union, get_args, get_origin

import msgpack

from protocol import limits
from protocol.data import Data
from protocol.errors import DecodeError
from protocol.secrets import Secret

M = TypeVar("M")
Decoder = Callable[[Any], Any]
Encoder = Callable[[Any], Any]

_SECRET_KEY = "$secret"


def pack(value: Data) -> bytes:
    """Plain data as msgpack; a Secret becomes `{"$secret": value}`."""
    return bytes(msgpack.packb(_encode_data(value), use_bin_type=True))


def unpack(raw: bytes, *, limit: int = limits.MAX_MESSAGE) -> Data:
    """Plain data from msgpack of at most `limit` bytes. Raises DecodeError."""
    return typing.cast(Data, _decode_data(_unpack_bounded(raw, limit)))


def encode(message: Any) -> bytes:
    """A message as bytes."""
    kind = type(message).KIND
    return bytes(msgpack.packb([kind, *_fields_of(message)], use_bin_type=True))


def decode(raw: bytes, kinds: Mapping[str, type[M]], *, limit: int = limits.MAX_MESSAGE) -> M:
    """The message in `raw`, one of `kinds` (from `table`). Raises DecodeError."""
    tree = _unpack_bounded(raw, limit)
    if not isinstance(tree, list) or not tree or not isinstance(tree[0], str):
        raise DecodeError("not a message")
    cls = kinds.get(tree[0])
    if cls is None:
        raise DecodeError(f"message kind {tree[0][:40]!r} is not accepted here")
    return typing.cast(M, _decoder(typing.cast(Any, cls))(tree[1:]))


def table(*classes: type[M]) -> Mapping[str, type[M]]:
    """The kinds that one receiver accepts, by their KIND."""
    return types.MappingProxyType({cls.KIND: cls for cls in classes})  # type: ignore[attr-defined]


def _unpack_bounded(raw: bytes, limit: int) -> Any:
    if len(raw) > limit:
        raise DecodeError(f"{len(raw)} bytes where at most {limit} are allowed")
    containers = 0

    def count(container: Any) -> Any:
        nonlocal containers
        containers += 1
        if containers > limits.MAX_CONTAINERS:
            raise ValueError("too many containers")
        return container

    try:
        tree = msgpack.unpackb(
            raw,
            raw=False,
            strict_map_key=True,
            max_str_len=min(limit, limits.MAX_STRING),
            max_bin_len=min(limit, limits.MAX_STRING),
            max_array_len=min(limit, limits.MAX_ITEMS),
            max_map_len=min(limit, limits.MAX_ITEMS),
            max_ext_len=0,
            object_hook=count,
            list_hook=count,
            ext_hook=_refuse_extension,
            timestamp=0,
        )
    except (ValueError, msgpack.UnpackException, RecursionError, MemoryError) as error:
        raise DecodeError(f"not msgpack within limits: {type(error).__name__}") from None
    _check_depth(tree, limits.MAX_DEPTH)
    return tree


def _refuse_extension(code: int, _data: bytes) -> Any:
    raise ValueError(f"extension type {code}")


def _check_depth(tree: Any, left: int) -> None:
    if isinstance(tree, list):
        children: Sequence[Any] = tree
    elif isinstance(tree, dict):
        children = list(tree.values())
    else:
        return
    if left == 0:
        raise DecodeError(f"nested deeper than {limits.MAX_DEPTH}")
    for child in children:
        if isinstance(child, list | dict):
            _check_depth(child, left - 1)


# --- plain data -----------------------------------------------------------------------------------------------


def _encode_data(value: Any) -> Any:
    if isinstance(value, Secret):
        return {_SECRET_KEY: value.reveal()}
    if isinstance(value, dict | Mapping):
        return {key: _encode_data(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_encode_data(item) for item in value]
    if value is None or isinstance(value, str | bytes | bool | int | float):
        return value
    raise TypeError(f"{type(value).__name__} is not plain data")


def _decode_data(value: Any) -> Any:
    if isinstance(value, dict):
        if len(value) == 1 and isinstance(value.get(_SECRET_KEY), str):
            return Secret(value[_SECRET_KEY])
        for key in value:
            if not isinstance(key, str):
                raise DecodeError("a mapping's keys must be strings")
        return {key: _decode_data(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_decode_data(item) for item in value]
    if value is None or isinstance(value, str | bytes | bool | int | float):
        return value
    raise DecodeError(f"{type(value).__name__} is not plain data")


# --- typed fields ---------------------------------------------------------------------------------------------


@cache
def _hints(cls: Any) -> tuple[tuple[str, Any], ...]:
    hints = typing.get_type_hints(cls)
    return tuple((field.name, hints[field.name]) for field in fields(cls))


@cache
def _decoder(cls: Any) -> Decoder:
    decoders = tuple((name, _field_decoder(hint, f"{cls.__name__}.{name}")) for name, hint in _hints(cls))
    count = len(decoders)

    def decode_fields(tree: Any) -> Any:
        if not isinstance(tree, list) or len(tree) != count:
            raise DecodeError(f"{cls.__name__} needs {count} fields")
        return cls(*(decode_one(item) for (_, decode_one), item in zip(decoders, tree, strict=True)))

    return decode_fields


def _fields_of(message: Any) -> list[Any]:
    cls: Any = type(message)
    return typing.cast(list[Any], _encoder(cls)(message))


@cache
def _encoder(cls: Any) -> Encoder:
    encoders = tuple((name, _field_encoder(hint)) for name, hint in _hints(cls))

    def encode_fields(message: Any) -> list[Any]:
        return [encode_one(getattr(message, name)) for name, encode_one in encoders]

    return encode_fields


def _alternatives(hint: Any) -> tuple[Any, ...] | None:
    if get_origin(hint) in (Union, types.UnionType):
        return get_args(hint)
    return None


def _field_decoder(hint: Any, place: str) -> Decoder:
    """The decoder of one annotation; built once for each field of each class."""
    if hint is Data:
        return _decode_data
    choices = _alternatives(hint)
    if choices is not None:
        return _union_decoder(choices, place)
    origin = get_origin(hint)
    if origin is tuple:
        return _tuple_decoder(_field_decoder(get_args(hint)[0], place), place)
    if origin in (dict, Mapping):
        return _mapping_decoder(_field_decoder(get_args(hint)[1], place), place)
    if origin is typing.Literal:
        return _literal_decoder(get_args(hint), place)
    if isinstance(hint, typing.NewType):
        return _field_decoder(hint.__supertype__, place)
    if isinstance(hint, type):
        if issubclass(hint, Enum):
            return _enum_decoder(hint, place)
        if is_dataclass(hint):
            return _decoder(hint)
        return _scalar_decoder(hint, place)
    raise TypeError(f"{place}: no decoder for {hint!r}")


def _scalar_decoder(cls: type, place: str) -> Decoder:
    accepted: tuple[type, ...] = (int, float) if cls is float else (cls,)

    def decode_scalar(value: Any) -> Any:
        if not isinstance(value, accepted) or (isinstance(value, bool) and cls is not bool):
            raise DecodeError(f"{place} must be {cls.__name__}, not {type(value).__name__}")
        if isinstance(value, float) and not math.isfinite(value):
            raise DecodeError(f"{place} must be finite")
        return value

    return decode_scalar


def _tuple_decoder(decode_item: Decoder, place: str) -> Decoder:
    def decode_tuple(value: Any) -> Any:
        if not isinstance(value, list):
            raise DecodeError(f"{place} must be an array")
        return tuple(decode_item(item) for item in value)

    return decode_tuple


def _mapping_decoder(decode_item: Decoder, place: str) -> Decoder:
    def decode_mapping(value: Any) -> Any:
        if not isinstance(value, dict) or not all(isinstance(key, str) for key in value):
            raise DecodeError(f"{place} must be a map with string keys")
        return {key: decode_item(item) for key, item in value.items()}

    return decode_mapping


def _literal_decoder(accepted: tuple[Any, ...], place: str) -> Decoder:
    def decode_literal(value: Any) -> Any:
        if not isinstance(value, str) or value not in accepted:
            raise DecodeError(f"{place} must be one of {', '.join(map(str, accepted))}")
        return value

    return decode_literal


def _enum_decoder(cls: type[Enum], place: str) -> Decoder:
    def decode_enum(value: Any) -> Any:
        try:
            return cls(value)
        except ValueError:
            raise DecodeError(f"{place}: unknown {cls.__name__}") from None

    return decode_enum


def _union_decoder(choices: tuple[Any, ...], place: str) -> Decoder:
    optional = type(None) in choices
    rest = [choice for choice in choices if choice is not type(None)]
    if len(rest) == 1:
        decode_one = _field_decoder(rest[0], place)
    else:
        decode_one = _tagged_decoder(table(*rest), place)

    def decode_union(value: Any) -> Any:
        if value is None and optional:
            return None
        return decode_one(value)

    return decode_union


def _tagged_decoder(kinds: Mapping[str, type[Any]], place: str) -> Decoder:
    def decode_tagged(value: Any) -> Any:
        if not isinstance(value, list) or not value or not isinstance(value[0], str):
            raise DecodeError(f"{place} must be a message")
        cls: Any = kinds.get(value[0])
        if cls is None:
            raise DecodeError(f"{place}: message kind {value[0][:40]!r} is not accepted here")
        return _decoder(cls)(value[1:])

    return decode_tagged


def _field_encoder(hint: Any) -> Encoder:
    if hint is Data:
        return _encode_data
    choices = _alternatives(hint)
    if choices is not None:
        return _union_encoder(choices)
    origin = get_origin(hint)
    if origin is tuple:
        encode_item = _field_encoder(get_args(hint)[0])
        return lambda value: [encode_item(item) for item in value]
    if origin in (dict, Mapping):
        encode_value = _field_encoder(get_args(hint)[1])
        return lambda value: {key: encode_value(item) for key, item in value.items()}
    if isinstance(hint, type) and issubclass(hint, Enum):
        return lambda value: value.value
    if isinstance(hint, type) and is_dataclass(hint):
        return _encoder(hint)
    return lambda value: value


def _union_encoder(choices: tuple[Any, ...]) -> Encoder:
    rest = [choice for choice in choices if choice is not type(None)]
    if len(rest) == 1:
        encode_one = _field_encoder(rest[0])
        return lambda value: None if value is None else encode_one(value)
    return lambda value: None if value is None else [type(value).KIND, *_fields_of(value)]
