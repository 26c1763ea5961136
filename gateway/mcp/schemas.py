"""JSON Schemas of typed arguments, as a model likes to read them.

Pure module. msgspec derives the schema; what it adds for other programs (titles
that repeat class names, references to definitions, empty defaults) is taken out.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

_PREFIX: Final = "#/$defs/"


def schema_of(arguments: type[msgspec.Struct]) -> dict[str, Any]:
    """Return the schema of a struct's fields, without references.

    Raises:
        TypeError: the struct contains itself; give such a schema verbatim.
    """
    whole = msgspec.json.schema(arguments)
    definitions = whole.pop("$defs", {})
    schema: dict[str, Any] = _inline(whole, definitions, ())
    # The class docstring speaks to programmers; the tool's description to models.
    schema.pop("description", None)
    schema.setdefault("properties", {})
    return schema


def _inline(node: Any, definitions: dict[str, Any], inside: tuple[str, ...]) -> Any:
    if isinstance(node, list):
        return [_inline(item, definitions, inside) for item in node]
    if not isinstance(node, dict):
        return node
    reference = node.get("$ref", "")
    if reference.startswith(_PREFIX):
        name = reference[len(_PREFIX) :]
        if name in inside:
            raise TypeError(f"{name} contains itself; give its schema verbatim")
        merged = _inline(definitions[name], definitions, (*inside, name))
        merged.pop("description", None)
        return {**merged, **{key: value for key, value in node.items() if key != "$ref"}}
    return {
        key: _inline(value, definitions, inside)
        for key, value in node.items()
        if not _says_nothing(key, value, node)
    }


def _says_nothing(key: str, value: Any, node: dict[str, Any]) -> bool:
    if key == "title":
        # A property may have this name; a keyword stands beside a type.
        return "type" in node and isinstance(value, str)
    return key in ("default", "required") and value in ("", (), [])
