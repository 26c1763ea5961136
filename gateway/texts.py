"""Questions and answers as texts alone, for frontends that know nothing else.

Pure module. Several questions in one are a list to read, and an answer with a line for each
of them, or with JSON, is one to all.
"""

from __future__ import annotations

import re
from typing import Any, Final

import msgspec

from session import longtexts
from session.model import Question

_NUMBERED: Final = re.compile(r"\s*(?:\(?(\d{1,2})[.):]\s|([A-Za-z0-9_-]{1,64})\s*[:=])\s*")
_parse: Final = msgspec.json.Decoder(dict[str, Any]).decode


def listed(question: Question) -> str:
    """Return several questions as one text, with how to answer it."""
    assert question.schema is not None
    lines = [question.text, ""]
    for number, part_id in enumerate(question.parts, 1):
        part = question.schema["properties"][part_id]
        lines.append(f"{number}. {part['title']}{_options(part)}")
    count = len(question.parts)
    lines += ["", f"Answer in {count} lines, the first for question 1."]
    return "\n".join(lines)


def content_of(question: Question, answer: str) -> dict[str, Any] | None:
    """Return what a text says to each of several questions; ``None`` if that is not clear.

    Nothing is looked for in one that is too long to be looked at in one go.
    """
    assert question.schema is not None
    if len(answer) > longtexts.LONG:
        return None
    if answer.lstrip().startswith("{"):
        try:
            return _parse(answer)
        except msgspec.DecodeError:
            return None
    said: dict[str, str] = {}
    lines = [line for line in answer.splitlines() if line.strip()]
    if len(lines) != len(question.parts):
        return None
    for part_id, line in zip(question.parts, lines, strict=True):
        key, text = _named(question, line)
        said[key or part_id] = text
    if len(said) != len(question.parts):
        return None
    properties = question.schema["properties"]
    return {part_id: _value(properties[part_id], text) for part_id, text in said.items()}


def _named(question: Question, line: str) -> tuple[str, str]:
    """Return which question a line says that it answers, if it does, and the answer."""
    found = _NUMBERED.match(line)
    if found is not None:
        number, name = found.groups()
        if number is not None and 0 < int(number) <= len(question.parts):
            return question.parts[int(number) - 1], line[found.end() :].strip()
        if name in question.parts:
            return name, line[found.end() :].strip()
    return "", line.strip()


def _value(part: dict[str, Any], text: str) -> Any:
    """Return a line as the value that its question wants."""
    if "oneOf" in part and part.get("type") == "string":
        return _picked(part["oneOf"], text)
    if part.get("type") == "string":
        return text
    try:
        return msgspec.json.decode(text)
    except msgspec.DecodeError:
        return text


def _picked(options: list[Any], text: str) -> str:
    """Return the value of the choice that is meant by its value, or by what people see."""
    for option in options:
        if isinstance(option, dict) and text in (option.get("const"), option.get("title")):
            return str(option["const"])
    return text


def _options(part: dict[str, Any]) -> str:
    options = part.get("oneOf")
    if not options or part.get("type") != "string":
        return ""
    values = [str(each["const"]) for each in options if isinstance(each, dict) and "const" in each]
    return f" ({' / '.join(values)})" if values else ""
