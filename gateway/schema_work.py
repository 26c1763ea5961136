"""How much work a schema makes, found out before the work is done.

Pure module. A schema comes from an agent and is checked by the one task that serves
everybody: sixteen references that fork twice each make 65,000 checks of one kilobyte, and
a pattern of thirty characters a million states. So the steps are counted first, by a walk
that follows what a validator would; past the budget the schema, or the answer, is refused.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final, final
from urllib.parse import unquote

#: Steps of one check. To count so many takes some 10 ms, to do them less than one.
MOST: Final = 5_000
#: What a message that says what is wrong costs is a hundred times as much.
MOST_EXPLAINED: Final = 500
# Bytes and repetitions of all patterns of a schema: what takes some 50 ms to compile.
_MOST_PATTERN: Final = 5_000

_LISTS: Final = ("allOf", "anyOf", "oneOf")
_SINGLE: Final = ("not", "if", "then", "else")
_MAPS: Final = ("dependentSchemas", "dependencies")
_OF_VALUES: Final = ("additionalProperties", "unevaluatedProperties")
_OF_ITEMS: Final = ("items", "contains", "additionalItems", "unevaluatedItems")
_UNEVALUATED: Final = frozenset(("unevaluatedProperties", "unevaluatedItems"))
# They look again, at each place, at all that is beside them.
_LOOKS_AGAIN: Final = 4
_ELSEWHERE: Final = frozenset(
    ("$id", "$dynamicRef", "$recursiveRef", "$dynamicAnchor", "$recursiveAnchor")
)
_BESIDE: Final = frozenset((*_LISTS, *_SINGLE, *_MAPS, "$ref"))
_REPEATED: Final = re.compile(r"\{(\d{1,9})?(?:,(\d{0,9}))?\}")
_CHARACTERS: Final = 500


class TooMuchWorkError(ValueError):
    """There is more to check than is checked; the message says of what."""


class ForeignReferenceError(ValueError):
    """A schema refers to what is not in it."""


@final
class Work:
    """Counts the steps of one schema."""

    __slots__ = ("_schema", "_steps")

    def __init__(self, schema: Mapping[str, Any]) -> None:
        self._schema = schema
        self._steps = 0

    def check(self) -> None:
        """Refuse a schema that makes too much work whatever the answer, or refers elsewhere.

        Raises:
            TooMuchWorkError: as it says.
            ForeignReferenceError: as it says.
        """
        # Each part once as if it were the whole: what may be asked of one place.
        seen: set[int] = set()
        met: set[int] = set()
        patterns = 0
        parts: list[Any] = [self._schema]
        while parts:
            part = parts.pop()
            if not isinstance(part, dict) or id(part) in seen:
                continue
            seen.add(id(part))
            for node in self._at_one_place(part):
                if id(node) in met:
                    continue
                met.add(id(node))
                patterns += sum(_size_of(each) for each in _patterns(node))
                if patterns > _MOST_PATTERN:
                    raise TooMuchWorkError("its patterns are too large")
                parts += _below(node)

    def of(self, content: Any) -> int:
        """Return the steps it takes to check ``content``, at most.

        Raises:
            TooMuchWorkError: they are too many.
            ForeignReferenceError: what it refers to is not in it.
        """
        self._steps = 0
        places: list[tuple[Any, Any]] = [(self._schema, content)]
        while places:
            part, value = places.pop()
            for node in self._at_one_place(part):
                self._count(_steps_of(node, value))
                places += _children(node, value)
        return self._steps

    def _count(self, steps: int) -> None:
        self._steps += steps
        if self._steps > MOST:
            raise TooMuchWorkError("there is too much to check in it")

    def _at_one_place(self, part: Any) -> Iterator[dict[str, Any]]:
        """Yield what is asked of one value: the part and all it combines, as often as it does."""
        nodes = [part]
        while nodes:
            node = nodes.pop()
            self._count(1)
            if not isinstance(node, dict):
                continue
            yield node
            words = node.keys()
            if not _ELSEWHERE.isdisjoint(words):
                self._refuse_elsewhere(node)
            if _BESIDE.isdisjoint(words):
                continue
            beside = [each for word in _LISTS for each in _list(node, word)]
            beside += [node[word] for word in _SINGLE if word in node]
            beside += [each for word in _MAPS for each in _map(node, word).values()]
            if "$ref" in node:
                beside.append(self._resolved(node["$ref"]))
            nodes += beside * (1 if _UNEVALUATED.isdisjoint(words) else _LOOKS_AGAIN)

    def _refuse_elsewhere(self, node: Mapping[str, Any]) -> None:
        if node.keys() & _ELSEWHERE != {"$id"}:
            raise ForeignReferenceError("it has references that depend on where they are met")
        if node is not self._schema:
            raise ForeignReferenceError("a part of it has an $id of its own")

    def _resolved(self, reference: Any) -> Any:
        if reference == "#":
            return self._schema
        if not isinstance(reference, str) or not reference.startswith("#/"):
            raise ForeignReferenceError(f"it refers to another document: {str(reference)[:200]}")
        found: Any = self._schema
        for step in unquote(reference[2:]).split("/"):
            name = step.replace("~1", "/").replace("~0", "~")
            if isinstance(found, dict) and name in found:
                found = found[name]
            elif isinstance(found, list) and name.isdecimal() and int(name) < len(found):
                found = found[int(name)]
            else:
                raise ForeignReferenceError(f"it refers to what is not in it: {reference[:200]}")
        return found


def _list(node: Mapping[str, Any], word: str) -> list[Any]:
    value = node.get(word)
    return value if isinstance(value, list) else []


def _map(node: Mapping[str, Any], word: str) -> dict[str, Any]:
    value = node.get(word)
    return value if isinstance(value, dict) else {}


def _patterns(node: Mapping[str, Any]) -> Iterator[str]:
    if isinstance(node.get("pattern"), str):
        yield node["pattern"]
    yield from _map(node, "patternProperties")


def _size_of(pattern: str) -> int:
    """Return the length of a pattern with all its repetitions written out, at most."""
    size = len(pattern)
    for least, most in _REPEATED.findall(pattern):
        size *= max(int(most or least or 1), 1)
        if size > _MOST_PATTERN:
            break
    return size


def _below(node: Mapping[str, Any]) -> list[Any]:
    """Return the parts of a schema that are asked of other values, inside of the one it is for."""
    words = (*_OF_VALUES, *_OF_ITEMS, "propertyNames")
    below = [node[word] for word in words if word in node]
    below += [*_map(node, "properties").values(), *_map(node, "patternProperties").values()]
    return below + _list(node, "prefixItems") + _list(node, "items")


def _steps_of(node: Mapping[str, Any], value: Any) -> int:
    if isinstance(value, str):
        pattern = node.get("pattern")
        size = _size_of(pattern) if isinstance(pattern, str) else 0
        return len(_list(node, "enum")) + (size + ("format" in node)) * len(value) // _CHARACTERS
    if isinstance(value, dict):
        return len(value) * (1 + len(_map(node, "patternProperties"))) + len(_list(node, "enum"))
    if isinstance(value, list):
        return len(value) + len(_list(node, "enum"))
    return len(_list(node, "enum"))


def _children(node: Mapping[str, Any], value: Any) -> Iterator[tuple[Any, Any]]:
    """Yield the values inside of one, each with what is asked of it."""
    if isinstance(value, dict):
        properties = _map(node, "properties")
        for_all = [node[word] for word in _OF_VALUES if word in node]
        for_all += _map(node, "patternProperties").values()
        yield from ((part, value[name]) for name, part in properties.items() if name in value)
        yield from ((part, each) for part in for_all for each in value.values())
        if "propertyNames" in node:
            yield from ((node["propertyNames"], name) for name in value)
    elif isinstance(value, list):
        yield from zip(_list(node, "prefixItems"), value, strict=False)
        for word in _OF_ITEMS:
            part = node.get(word)
            if isinstance(part, list):
                yield from zip(part, value, strict=False)
            elif part is not None:
                yield from ((part, each) for each in value)
