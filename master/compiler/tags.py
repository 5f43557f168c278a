"""Salt's Jinja tags: `import_yaml`, `import_json`, `import_text`, `load_yaml`, `load_json`, `load_text`, `profile`."""

from __future__ import annotations

from jinja2 import nodes
from jinja2.ext import Extension
from jinja2.parser import Parser


class DataTags(Extension):
    """`{% import_yaml "file" as x %}` renders a file and loads it; `{% load_yaml as x %}…{% endload %}` a block.

    `{% profile as "label" %}…{% endprofile %}` renders its block; nothing is measured.
    """

    tags = {  # noqa: RUF012
        "import_yaml", "import_json", "import_text", "load_yaml", "load_json", "load_text", "profile"
    }  # fmt: skip

    def parse(self, parser: Parser) -> nodes.Node | list[nodes.Node]:
        """The nodes that the tag at hand stands for."""
        word = parser.stream.current
        action, _, kind = str(word.value).partition("_")
        if action == "profile":
            return self._profile(parser)
        if action == "import":
            return self._import(parser, kind)
        next(parser.stream)
        parser.stream.expect("name:as")
        target = parser.parse_assign_target(name_only=True)
        body = parser.parse_statements(("name:endload",), drop_needle=True)
        captured = nodes.AssignBlock(nodes.Name(target.name, "store"), None, body, lineno=word.lineno)
        return [captured, self._loaded(target.name, kind, word.lineno)]

    def _profile(self, parser: Parser) -> list[nodes.Node]:
        next(parser.stream)
        parser.stream.expect("name:as")
        parser.parse_expression()
        return parser.parse_statements(("name:endprofile",), drop_needle=True)

    def _import(self, parser: Parser, kind: str) -> list[nodes.Node]:
        lineno = parser.stream.current.lineno
        imported = parser.parse_import()
        return [imported, self._loaded(imported.target, kind, lineno)]

    def _loaded(self, name: str, kind: str, lineno: int) -> nodes.Assign:
        text = nodes.Filter(nodes.Name(name, "load"), "string", [], [], None, None)
        value = text if kind == "text" else nodes.Filter(text, f"load_{kind}", [], [], None, None)
        assign = nodes.Assign(nodes.Name(name, "store"), value)
        assign.set_lineno(lineno, override=True)
        return assign
