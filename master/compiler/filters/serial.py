"""Filters between data and text: JSON, YAML, XML, Python literals, and YAML scalars."""

from __future__ import annotations

import json
import pprint
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any, Final
from xml.dom import minidom
from xml.etree.ElementTree import Element, SubElement, tostring

import yaml

from master.compiler.yaml import load_plain
from protocol.secrets import Secret

_WIDE: Final = 2**30
"""A line of YAML is never folded: a template prints it into the middle of other text."""
_HTML: Final = (("<", "\\u003c"), (">", "\\u003e"), ("&", "\\u0026"), ("'", "\\u0027"))


class _Dumper(yaml.SafeDumper):
    """Dumps anything like a mapping, list or string as what it is, and never an alias."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _mapping(dumper: yaml.SafeDumper, value: Mapping[Any, Any]) -> yaml.Node:
    """Keys in order where they can be compared, unless the mapping is an ordered one."""
    items = list(value.items())
    if not isinstance(value, OrderedDict):
        try:
            items.sort(key=lambda item: item[0])
        except TypeError:
            return dumper.represent_dict(items)
    return dumper.represent_dict(items)


def _any(dumper: yaml.SafeDumper, value: Any) -> yaml.Node:
    return _mapping(dumper, value) if isinstance(value, Mapping) else dumper.represent_undefined(value)


_Dumper.add_multi_representer(str, lambda dumper, value: dumper.represent_str(value[:]))
_Dumper.add_representer(dict, _mapping)
_Dumper.add_multi_representer(dict, _mapping)
_Dumper.add_multi_representer(list, lambda dumper, value: dumper.represent_list(value))
_Dumper.add_multi_representer(Secret, lambda dumper, value: dumper.represent_str(value.reveal()))
_Dumper.add_representer(tuple, lambda dumper, value: dumper.represent_list(list(value)))
_Dumper.add_multi_representer(object, _any)


def _simple(value: Any) -> Any:
    """What the JSON library does not know, as something that it does."""
    if isinstance(value, Mapping):
        return dict(value.items())
    if isinstance(value, Secret):
        return value.reveal()
    if isinstance(value, set | frozenset):
        return sorted(value)
    raise TypeError(f"a value of type {type(value).__name__} is no JSON")


_LINE_BREAKS: Final = {0x85: "\\u0085", 0x2028: "\\u2028", 0x2029: "\\u2029"}
"""What YAML 1.1 takes for the end of a line and JSON does not: escaped, so that JSON within YAML stays what it is."""


def to_json(value: Any, sort_keys: bool = True, indent: int | None = None, **options: Any) -> str:
    """JSON; keys are sorted where they can be compared."""
    options = {"ensure_ascii": False, "default": _simple, "indent": indent, **options}
    try:
        text = json.dumps(value, sort_keys=sort_keys, **options)
    except TypeError:
        text = json.dumps(value, **options)
    return text.translate(_LINE_BREAKS)


def html_json(value: Any, indent: int | None = None, **options: Any) -> str:
    """JSON in which `<`, `>`, `&` and `'` are escaped, so that it can stand in HTML and in single quotes."""
    text = json.dumps(value, indent=indent, default=_simple, **options)
    for character, escaped in _HTML:
        text = text.replace(character, escaped)
    return text


def to_yaml(value: Any, flow_style: bool = True) -> str:
    """YAML in flow style on one line, or in block style."""
    text: str = yaml.dump(value, Dumper=_Dumper, default_flow_style=flow_style, sort_keys=False, width=_WIDE)
    return text.strip().removesuffix("\n...")


def sls_params(value: Mapping[Any, Any], flow_style: bool = False) -> str:
    """A mapping as the list of single-key mappings that a state takes as its arguments."""
    return to_yaml([{key: item} for key, item in value.items()], flow_style)


def to_python(value: Any) -> str:
    """A Python literal."""
    return pprint.pformat(value).strip()


def load_yaml(value: Any) -> Any:
    """The data in YAML text. Raises YamlError."""
    return load_plain(str(value), "the text given to load_yaml")


def load_json(value: Any) -> Any:
    """The data in JSON text. Raises ValueError."""
    return json.loads(str(value))


def yaml_dquote(value: Any) -> str:
    """A double-quoted YAML scalar."""
    text: str = yaml.dump(str(value), Dumper=_Dumper, default_style='"', width=_WIDE, allow_unicode=True)
    return text.strip()


def yaml_squote(value: Any) -> str:
    """A single-quoted YAML scalar."""
    text: str = yaml.dump(str(value), Dumper=_Dumper, default_style="'", width=_WIDE, allow_unicode=True)
    return text.strip()


def yaml_encode(value: Any) -> str:
    """One YAML scalar. Raises TypeError when `value` is a mapping or list."""
    if isinstance(value, Mapping | list | tuple):
        raise TypeError("yaml_encode() only works with YAML scalar data")
    return yaml_dquote(value) if isinstance(value, str) else to_yaml(value)


def to_xml(value: Any) -> str:
    """XML of `{tag: {attribute: text, child: {…}, …}}`, or of a list of such pairs; children are mappings and lists."""
    root = _element(_pairs(value), None)
    if root is None:
        raise TypeError("there is no root element in what is to be XML")
    return minidom.parseString(tostring(root)).toprettyxml(indent=" ")


def _pairs(value: Any) -> list[Any]:
    if isinstance(value, Mapping):
        return list(value.items())
    if isinstance(value, list | tuple):
        return list(value) if value and isinstance(value[0], str) else []
    raise TypeError("only a mapping or a list can be XML")


def _element(pairs: Any, parent: Element | None) -> Element | None:
    made: Element | None = None
    for tag, content in pairs:
        if isinstance(content, list):
            for item in content:
                _element(((tag, item),), parent)
        made = Element(tag) if parent is None else made if isinstance(content, list) else SubElement(parent, tag)
        if made is None:
            continue
        if isinstance(content, str | int | float):
            made.text = str(content)
        elif isinstance(content, Mapping):
            plain = {name: item for name, item in content.items() if not isinstance(item, Mapping | list)}
            made.attrib.update({name: str(item) for name, item in plain.items()})
            for name, item in content.items():
                if isinstance(item, Mapping | list):
                    _element(((name, item),), made)
    return made


FILTERS: Final[Mapping[str, Callable[..., Any]]] = {
    "json": to_json,
    "tojson": html_json,
    "yaml": to_yaml,
    "xml": to_xml,
    "python": to_python,
    "load_yaml": load_yaml,
    "load_json": load_json,
    "load_text": str,
    "yaml_encode": yaml_encode,
    "yaml_dquote": yaml_dquote,
    "yaml_squote": yaml_squote,
    "dict_to_sls_yaml_params": sls_params,
}
"""By the name that a template uses."""
