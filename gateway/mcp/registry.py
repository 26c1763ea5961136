"""What is served: tools, resources and prompts, each declared once.

Pure module. The product's tools are one registration (`gateway.mcp.tools`), a
test's another. Declarations are checked when they are made, so that a list never
fails; lists are encoded once and kept until something is declared.
"""

from __future__ import annotations

import base64
import binascii
import bisect
import re
from collections.abc import Awaitable, Callable, Iterator
from typing import Any, Final, Generic, NamedTuple, TypeVar, final

import msgspec

from gateway.mcp.call import Call, Later
from gateway.mcp.results import Encoded, PromptResult, ReadResult, ToolResult
from gateway.mcp.schemas import schema_of

_TOOL_NAME: Final = re.compile(r"[A-Za-z0-9_./-]{1,64}")
_HEADER_TOKEN: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_EXPRESSION: Final = re.compile(r"\{([A-Za-z0-9_]+)\}")
_NAME_LENGTH: Final = 1024
_HEADER: Final = "x-mcp-header"
_HEADER_TYPES: Final = ("string", "integer", "boolean")

_encode = msgspec.json.Encoder().encode

ToolHandler = Callable[[Call, Any], Awaitable[ToolResult | Later]]
ResourceReader = Callable[[Call, str, dict[str, str]], Awaitable[ReadResult | Later]]
#: Continues a stream whose reply is the outcome of a question.
Resumer = Callable[[Call, str], Awaitable[ToolResult | Later]]
PromptMaker = Callable[[Call, dict[str, str]], Awaitable[PromptResult | Later]]


class DeclarationError(ValueError):
    """Something cannot be declared like this."""


class InvalidCursorError(ValueError):
    """A cursor that no page of ours ended with."""


class HeaderParameter(NamedTuple):
    """A tool's argument that a header repeats, for proxies to read."""

    path: tuple[str, ...]
    header: str


@final
class Tool:
    """A tool: what callers are told of it, and what a call of it does."""

    __slots__ = ("arguments", "handler", "header_parameters", "listing", "name", "schema")

    def __init__(
        self,
        name: str,
        handler: ToolHandler,
        arguments: type[msgspec.Struct] | None,
        schema: dict[str, Any],
        listing: dict[str, Any],
    ) -> None:
        self.name = name
        self.handler = handler
        self.arguments = arguments
        self.schema = schema
        self.listing = listing
        self.header_parameters = tuple(_header_parameters(schema))


@final
class Resource:
    """A resource with a fixed URI, or a template for many (``{name}`` stands for one segment)."""

    __slots__ = ("_pattern", "listing", "read")

    def __init__(self, uri: str, read: ResourceReader, listing: dict[str, Any]) -> None:
        self.read = read
        self.listing = listing
        self._pattern = re.compile(_template_pattern(uri))

    def match(self, uri: str) -> dict[str, str] | None:
        """Return the values that make the template this URI."""
        found = self._pattern.fullmatch(uri)
        return None if found is None else found.groupdict()


@final
class Prompt:
    """A prompt that callers fill in."""

    __slots__ = ("known", "listing", "make", "required")

    def __init__(
        self,
        make: PromptMaker,
        listing: dict[str, Any],
        required: frozenset[str],
        known: frozenset[str],
    ) -> None:
        self.make = make
        self.listing = listing
        self.required = required
        self.known = known


_Item = TypeVar("_Item", Tool, Resource, Prompt)


@final
class Shelf(Generic[_Item]):
    """Things of one kind by name, listed in the order of their names."""

    __slots__ = ("_items", "_member", "_names", "_pages", "_size")

    def __init__(self, member: str, page_size: int) -> None:
        self._member = member
        self._size = page_size
        self._items: dict[str, _Item] = {}
        self._names: list[str] = []
        self._pages: dict[str, Encoded] = {}

    def put(self, name: str, item: _Item) -> None:
        """Add a thing."""
        if name in self._items:
            raise DeclarationError(f"{name} is declared already")
        if not 0 < len(name) <= _NAME_LENGTH:
            raise DeclarationError(f"a name has 1 to {_NAME_LENGTH} characters")
        self._items[name] = item
        bisect.insort(self._names, name)
        self._pages.clear()

    def remove(self, name: str) -> None:
        """Take a thing away. Cursors into the list stay good."""
        if self._items.pop(name, None) is not None:
            self._names.remove(name)
            self._pages.clear()

    def get(self, name: str) -> _Item | None:
        """Return a thing by its name."""
        return self._items.get(name)

    def page(self, cursor: str | None) -> Encoded:
        """Return the page that begins after ``cursor``, or the first.

        Raises:
            InvalidCursorError: this cursor is none of ours.
        """
        after = "" if cursor is None else _read_cursor(cursor)
        start = bisect.bisect_right(self._names, after) if after else 0
        # Kept by where it begins, so that at most one page is kept per start.
        key = self._names[start] if start < len(self._names) else ""
        kept = self._pages.get(key)
        if kept is None:
            kept = self._pages[key] = self._make_page(start)
        return kept

    def _make_page(self, start: int) -> Encoded:
        names = self._names[start : start + self._size]
        body: dict[str, Any] = {self._member: [self._items[name].listing for name in names]}
        if start + self._size < len(self._names):
            body["nextCursor"] = _make_cursor(names[-1])
        return Encoded(_encode(body), cacheable=True)

    def __iter__(self) -> Iterator[_Item]:
        return iter(self._items.values())

    def __len__(self) -> int:
        return len(self._items)


@final
class Registry:
    """Everything a server offers."""

    def __init__(self, page_size: int = 100) -> None:
        self.tools: Shelf[Tool] = Shelf("tools", page_size)
        self.resources: Shelf[Resource] = Shelf("resources", page_size)
        self.templates: Shelf[Resource] = Shelf("resourceTemplates", page_size)
        self.prompts: Shelf[Prompt] = Shelf("prompts", page_size)
        self.resume: Resumer | None = None
        #: Whether any tool has an argument that a header repeats.
        self.mirrors_arguments = False

    def tool(
        self,
        name: str,
        handler: ToolHandler,
        *,
        description: str,
        arguments: type[msgspec.Struct] | None = None,
        input_schema: dict[str, Any] | None = None,
        **more: Any,
    ) -> None:
        """Declare a tool.

        Args:
            name: 1 to 64 of ``A-Z a-z 0-9 _ . / -``.
            handler: called with the call and its arguments: an instance of
                ``arguments``, or a dict when there is no such type.
            description: what a model reads.
            arguments: a struct; its fields are the schema, and are checked.
            input_schema: a schema that is listed verbatim instead.
            more: further members of the listing (``title``, ``annotations``, ``outputSchema``).

        Raises:
            DeclarationError: callers would refuse or misunderstand this tool.
        """
        if not _TOOL_NAME.fullmatch(name):
            raise DeclarationError(f"{name!r}: a tool's name has 1 to 64 of A-Z a-z 0-9 _ . / -")
        if not description:
            raise DeclarationError(f"{name}: a tool needs a description")
        schema = input_schema
        if schema is None:
            schema = schema_of(arguments) if arguments else {"type": "object", "properties": {}}
        if schema.get("type") != "object":
            raise DeclarationError(f'{name}: the input schema must have "type": "object"')
        listing = {"name": name, "description": description, "inputSchema": schema, **more}
        tool = Tool(name, handler, arguments, schema, listing)
        self.tools.put(name, tool)
        self.mirrors_arguments = self.mirrors_arguments or bool(tool.header_parameters)

    def resource(self, uri: str, name: str, read: ResourceReader, **more: Any) -> None:
        """Declare a resource; ``more`` are further members of its listing."""
        self.resources.put(uri, Resource(uri, read, {"uri": uri, "name": name, **more}))

    def template(self, uri_template: str, name: str, read: ResourceReader, **more: Any) -> None:
        """Declare a family of resources: ``{key}`` in the URI stands for one path segment."""
        listing = {"uriTemplate": uri_template, "name": name, **more}
        self.templates.put(uri_template, Resource(uri_template, read, listing))

    def prompt(
        self,
        name: str,
        make: PromptMaker,
        *,
        description: str,
        arguments: tuple[dict[str, Any], ...] = (),
        **more: Any,
    ) -> None:
        """Declare a prompt; ``arguments`` as they are listed (name, description, required)."""
        listing: dict[str, Any] = {"name": name, "description": description, **more}
        if arguments:
            listing["arguments"] = list(arguments)
        required = frozenset(each["name"] for each in arguments if each.get("required"))
        known = frozenset(each["name"] for each in arguments)
        self.prompts.put(name, Prompt(make, listing, required, known))

    def find_resource(self, uri: str) -> tuple[Resource, dict[str, str]] | None:
        """Return the resource a URI names, with the values of its template."""
        fixed = self.resources.get(uri)
        if fixed is not None:
            return fixed, {}
        for template in self.templates:
            values = template.match(uri)
            if values is not None:
                return template, values
        return None


def _make_cursor(name: str) -> str:
    return base64.urlsafe_b64encode(b"after:" + name.encode()).decode()


def _read_cursor(cursor: str) -> str:
    try:
        before, found, name = base64.b64decode(cursor, b"-_", validate=True).partition(b"after:")
        if before or not found or not name:
            raise InvalidCursorError
        return name.decode()
    except (binascii.Error, ValueError):
        raise InvalidCursorError from None


def _template_pattern(uri: str) -> str:
    parts = _EXPRESSION.split(uri)
    return "".join(
        f"(?P<{part}>[^/?#]+)" if at % 2 else re.escape(part) for at, part in enumerate(parts)
    )


def _header_parameters(
    schema: dict[str, Any], path: tuple[str, ...] = ()
) -> Iterator[HeaderParameter]:
    """Find the arguments that are annotated with ``x-mcp-header`` (MCP 2026-07-28)."""
    seen: set[str] = set()
    for key, node in schema.get("properties", {}).items():
        if not isinstance(node, dict):
            continue
        here = (*path, key)
        header = node.get(_HEADER)
        if header is not None:
            if not isinstance(header, str) or not _HEADER_TOKEN.fullmatch(header):
                raise DeclarationError(f"{key}: {_HEADER} must be a header's name")
            if node.get("type") not in _HEADER_TYPES:
                raise DeclarationError(f"{key}: only strings, integers and booleans fit a header")
            yield from _once(HeaderParameter(here, header), seen)
        for nested in _header_parameters(node, here):
            yield from _once(nested, seen)


def _once(parameter: HeaderParameter, seen: set[str]) -> Iterator[HeaderParameter]:
    if parameter.header.lower() in seen:
        raise DeclarationError(f"two arguments use the header {parameter.header}")
    seen.add(parameter.header.lower())
    yield parameter
