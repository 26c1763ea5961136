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
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, Generic, Protocol, TypeVar, final

import msgspec

from gateway.mcp.call import Call, Later
from gateway.mcp.mirroring import DeclarationError, header_parameters
from gateway.mcp.results import Encoded, PromptResult, ReadResult, ToolResult
from gateway.mcp.schemas import schema_of

if TYPE_CHECKING:
    from gateway.mcp.tasks import Keeper
    from gateway.mcp.watching import Watcher
    from session.model import Principal

_TOOL_NAME: Final = re.compile(r"[A-Za-z0-9_./-]{1,64}")
_EXPRESSION: Final = re.compile(r"\{([A-Za-z0-9_]+)\}")
_NAME_LENGTH: Final = 1024

_encode: Final = msgspec.json.Encoder().encode

ToolHandler = Callable[[Call, Any], Awaitable[ToolResult | Encoded | Later]]
ResourceReader = Callable[[Call, str, dict[str, str]], Awaitable[ReadResult | Encoded | Later]]
#: Continues a stream whose reply is the outcome of a question.
Resumer = Callable[[Call, str], Awaitable[ToolResult | Encoded | Later]]
#: Returns what a credential must allow for that, as for the call that put the question.
ResumerScope = Callable[["Principal", str], Awaitable[str]]
PromptMaker = Callable[[Call, dict[str, str]], Awaitable[PromptResult | Encoded | Later]]


#: Returns what an argument may be that begins with what was typed, given the other ones.
Completer = Callable[[Call, str, dict[str, str]], Awaitable[Sequence[str]]]

_NONE: Final[Mapping[str, Completer]] = {}


def _nobody_hears(_member: str) -> None:
    """Before anything is served, nobody listens for changes."""


class InvalidCursorError(ValueError):
    """A cursor that no page of ours ended with."""


@final
class Tool:
    """A tool: what callers are told of it, and what a call of it does."""

    __slots__ = ("arguments", "handler", "header_parameters", "listing", "name", "schema", "scope")

    def __init__(  # noqa: PLR0913, PLR0917 - made once, by the registry
        self,
        name: str,
        handler: ToolHandler,
        arguments: type[msgspec.Struct] | None,
        schema: dict[str, Any],
        listing: dict[str, Any],
        scope: str,
    ) -> None:
        #: What a credential must allow; empty where any will do.
        self.scope = scope
        self.name = name
        self.handler = handler
        self.arguments = arguments
        self.schema = schema
        self.listing = listing
        self.header_parameters = tuple(header_parameters(schema))


class MoreTools(Protocol):
    """Who has tools that are declared nowhere, and may be others for each caller."""

    async def page(self, call: Call, cursor: str | None) -> Encoded | None:
        """Return a page of all tools of a caller; ``None``: it has the declared ones alone.

        Raises:
            InvalidCursorError: this cursor is none of ours.
        """

    async def find(self, call: Call, name: str) -> Tool | None:
        """Return a tool of a caller by its name."""


@final
class Resource:
    """A resource with a fixed URI, or a template for many (``{name}`` stands for one segment)."""

    __slots__ = ("_pattern", "completers", "known", "listing", "read", "scope", "watch")

    def __init__(  # noqa: PLR0913, PLR0917 - made once, by the registry
        self,
        uri: str,
        read: ResourceReader,
        listing: dict[str, Any],
        watch: Watcher | None = None,
        completers: Mapping[str, Completer] = _NONE,
        scope: str = "",
    ) -> None:
        self.read = read
        #: What a credential must allow; empty where any will do.
        self.scope = scope
        #: How to hear of its changes, where nobody tells `Subscriptions.updated`.
        self.watch = watch
        self.completers = completers
        self.known = frozenset(_EXPRESSION.findall(uri))
        self.listing = listing
        self._pattern = re.compile(_template_pattern(uri))

    def match(self, uri: str) -> dict[str, str] | None:
        """Return the values that make the template this URI."""
        found = self._pattern.fullmatch(uri)
        return None if found is None else found.groupdict()


@final
class Prompt:
    """A prompt that callers fill in."""

    __slots__ = ("completers", "known", "listing", "make", "required")

    def __init__(
        self,
        make: PromptMaker,
        listing: dict[str, Any],
        required: frozenset[str],
        known: frozenset[str],
        completers: Mapping[str, Completer],
    ) -> None:
        self.completers = completers
        self.make = make
        self.listing = listing
        self.required = required
        self.known = known


_Item = TypeVar("_Item", Tool, Resource, Prompt)


@final
class Shelf(Generic[_Item]):
    """Things of one kind by name, listed in the order of their names."""

    __slots__ = ("_changed", "_items", "_member", "_names", "_pages", "_size", "changes")

    def __init__(
        self, member: str, page_size: int, changed: Callable[[str], None] = _nobody_hears
    ) -> None:
        self._changed = changed
        self._member = member
        self._size = page_size
        self._items: dict[str, _Item] = {}
        self._names: list[str] = []
        self._pages: dict[str, Encoded] = {}
        #: Counts them.
        self.changes = 0

    def put(self, name: str, item: _Item) -> None:
        """Add a thing."""
        if name in self._items:
            raise DeclarationError(f"{name} is declared already")
        if not 0 < len(name) <= _NAME_LENGTH:
            raise DeclarationError(f"a name has 1 to {_NAME_LENGTH} characters")
        self._items[name] = item
        bisect.insort(self._names, name)
        self._pages.clear()
        self.changes += 1
        self._changed(self._member)

    def remove(self, name: str) -> None:
        """Take a thing away. Cursors into the list stay good."""
        if self._items.pop(name, None) is not None:
            self._names.remove(name)
            self._pages.clear()
            self.changes += 1
            self._changed(self._member)

    def get(self, name: str) -> _Item | None:
        """Return a thing by its name."""
        return self._items.get(name)

    def page(self, cursor: str | None) -> Encoded:
        """Return the page that begins after ``cursor``, or the first.

        Raises:
            InvalidCursorError: this cursor is none of ours.
        """
        after = "" if cursor is None else read_cursor(cursor)
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
            body["nextCursor"] = make_cursor(names[-1])
        return Encoded(_encode(body), cacheable=True)

    def __iter__(self) -> Iterator[_Item]:
        return iter(self._items.values())

    def __len__(self) -> int:
        return len(self._items)


@final
class Registry:
    """Everything a server offers."""

    def __init__(self, page_size: int = 100) -> None:
        #: Told of each list that changes, by its member in the result that carries it.
        self.changed: Callable[[str], None] = _nobody_hears
        changed = self._tell
        self.tools: Shelf[Tool] = Shelf("tools", page_size, changed)
        self.resources: Shelf[Resource] = Shelf("resources", page_size, changed)
        self.templates: Shelf[Resource] = Shelf("resourceTemplates", page_size, changed)
        self.prompts: Shelf[Prompt] = Shelf("prompts", page_size, changed)
        #: Who keeps tasks, for tools that become one.
        self.tasks: list[Keeper] = []
        #: Who has more tools than are declared here.
        self.more_tools: MoreTools | None = None
        #: Whether an argument of anything can be completed.
        self.completes = False
        self.resume: Resumer | None = None
        self.resume_scope: ResumerScope | None = None
        #: Told of who lacks the scope of what they call.
        self.denied: Callable[[Principal, str], None] = _nobody_is_told
        #: Whether any tool has an argument that a header repeats.
        self.mirrors_arguments = False

    def tool(  # noqa: PLR0913 - what there is to declare
        self,
        name: str,
        handler: ToolHandler,
        *,
        description: str,
        arguments: type[msgspec.Struct] | None = None,
        input_schema: dict[str, Any] | None = None,
        scope: str = "",
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
            scope: what the caller's credential must allow.
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
        tool = Tool(name, handler, arguments, schema, listing, scope)
        self.tools.put(name, tool)
        self.mirrors_arguments = self.mirrors_arguments or bool(tool.header_parameters)

    def resource(
        self,
        uri: str,
        name: str,
        read: ResourceReader,
        *,
        watch: Watcher | None = None,
        scope: str = "",
        **more: Any,
    ) -> None:
        """Declare a resource; ``more`` are further members of its listing."""
        listing = {"uri": uri, "name": name, **more}
        self.resources.put(uri, Resource(uri, read, listing, watch, _NONE, scope))

    def template(  # noqa: PLR0913 - what there is to declare
        self,
        uri_template: str,
        name: str,
        read: ResourceReader,
        *,
        watch: Watcher | None = None,
        completers: Mapping[str, Completer] = _NONE,
        scope: str = "",
        **more: Any,
    ) -> None:
        """Declare a family of resources: ``{key}`` in the URI stands for one path segment."""
        listing = {"uriTemplate": uri_template, "name": name, **more}
        template = Resource(uri_template, read, listing, watch, completers, scope)
        self._check_completers(uri_template, completers, template.known)
        self.templates.put(uri_template, template)

    def prompt(
        self,
        name: str,
        make: PromptMaker,
        *,
        description: str,
        arguments: tuple[dict[str, Any], ...] = (),
        completers: Mapping[str, Completer] = _NONE,
        **more: Any,
    ) -> None:
        """Declare a prompt; ``arguments`` as they are listed (name, description, required)."""
        listing: dict[str, Any] = {"name": name, "description": description, **more}
        if arguments:
            listing["arguments"] = list(arguments)
        required = frozenset(each["name"] for each in arguments if each.get("required"))
        known = frozenset(each["name"] for each in arguments)
        self._check_completers(name, completers, known)
        self.prompts.put(name, Prompt(make, listing, required, known, completers))

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

    def _check_completers(
        self, name: str, completers: Mapping[str, Completer], known: frozenset[str]
    ) -> None:
        if not completers.keys() <= known:
            raise DeclarationError(f"{name}: only its own arguments can be completed")
        self.completes = self.completes or bool(completers)

    def _tell(self, member: str) -> None:
        self.changed(member)


def _nobody_is_told(_principal: Principal, _scope: str) -> None:
    """Where there are no credentials, nobody lacks anything."""


def make_cursor(name: str) -> str:
    """Return the cursor of what comes after a name."""
    return base64.urlsafe_b64encode(b"after:" + name.encode()).decode()


def read_cursor(cursor: str) -> str:
    """Return the name after which a cursor begins.

    Raises:
        InvalidCursorError: it is none of ours.
    """
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
