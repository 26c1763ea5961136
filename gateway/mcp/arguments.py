"""The arguments of the product's tools: types that check, and schemas that models read.

Pure module. Unknown arguments are refused: a misspelt one that is silently
dropped would ask people something else than the model meant.
"""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta

from session.model import EVERYONE, Audience, Choice

#: The longest reason, in characters.
REASON: Final = 1000
#: The most people that one question can wait for.
MOST_ANSWERS: Final = 20
#: The most questions in one.
MOST_PARTS: Final = 20


class AudienceArgument(msgspec.Struct, forbid_unknown_fields=True):
    """Whom something is for."""

    kind: Literal["everyone", "group", "user", "frontend"] = "everyone"
    name: Annotated[
        str, Meta(max_length=256, description="Which group, user or frontend; empty for everyone.")
    ] = ""


class ChoiceArgument(msgspec.Struct, forbid_unknown_fields=True):
    """An answer to pick."""

    value: Annotated[str, Meta(min_length=1, max_length=1000, description="What is returned.")]
    label: Annotated[str, Meta(max_length=1000, description="What people see instead.")] = ""
    description: Annotated[str, Meta(max_length=4000)] = ""


class QuestionAudience(AudienceArgument, forbid_unknown_fields=True):
    """Whom a question is for, and how many of them."""

    quorum: Annotated[
        int,
        Meta(
            ge=1,
            le=MOST_ANSWERS,
            description="How many different people must answer; the result has all their answers.",
        ),
    ] = 1


QuestionAudienceField = Annotated[
    QuestionAudience | msgspec.UnsetType, Meta(description="Whom to ask; everybody by default.")
]
AudienceField = Annotated[
    AudienceArgument | msgspec.UnsetType, Meta(description="Whom to ask; everybody by default.")
]


def audience_of(argument: AudienceArgument | msgspec.UnsetType) -> Audience:
    """Return whom a caller means."""
    if argument is msgspec.UNSET:
        return EVERYONE
    return Audience(argument.kind, argument.name)


def quorum_of(argument: QuestionAudience | msgspec.UnsetType) -> int:
    """Return how many people must answer; 0 where one is enough."""
    return argument.quorum if argument is not msgspec.UNSET and argument.quorum > 1 else 0


def choice_of(argument: str | ChoiceArgument) -> Choice:
    """Return an answer to pick."""
    if isinstance(argument, str):
        return Choice(argument)
    return Choice(argument.value, argument.label, argument.description)


class PartArgument(msgspec.Struct, forbid_unknown_fields=True):
    """One of several questions."""

    question: Annotated[str, Meta(min_length=1, max_length=16 * 1024)]
    id: Annotated[
        str,
        Meta(
            max_length=64,
            # Not `$`: a line feed may come before that.
            pattern=r"^[A-Za-z0-9_-]*(?![\s\S])",
            description="Under which the answer is in content; q1, q2, ... when there is none.",
        ),
    ] = ""
    choices: Annotated[tuple[str | ChoiceArgument, ...], Meta(max_length=100)] = ()
    schema: Annotated[
        dict[str, Any] | msgspec.UnsetType, Meta(description="A JSON Schema of any type.")
    ] = msgspec.UNSET


UrgencyField = Annotated[
    Literal["low", "normal", "high"],
    Meta(
        description="high comes first and interrupts people; low waits until they look. "
        "Most questions are normal."
    ),
]


class AskUser(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    """Arguments of ask_user."""

    question: Annotated[str, Meta(description="The question to ask the user")]
    timeout_seconds: Annotated[
        Annotated[float, Meta(gt=0)] | msgspec.UnsetType,
        Meta(description="Timeout in seconds; when it has passed, you are told."),
    ] = msgspec.UNSET
    audience: QuestionAudienceField = msgspec.UNSET
    delivery: Annotated[
        Literal["all", "one"] | msgspec.UnsetType,
        Meta(
            description="all: everybody sees it and the first answer wins. "
            "one: one person after the other is asked."
        ),
    ] = msgspec.UNSET
    choices: Annotated[
        tuple[str | ChoiceArgument, ...],
        Meta(
            max_length=100, description="The answers to pick from; free text when there are none."
        ),
    ] = ()
    schema: Annotated[
        dict[str, Any] | msgspec.UnsetType,
        Meta(description="A JSON Schema of type object: people answer by a form made from it."),
    ] = msgspec.UNSET
    questions: Annotated[
        tuple[PartArgument, ...],
        Meta(
            max_length=MOST_PARTS,
            description="Several questions in one form, each answered by text, choices or a "
            "schema; question then says what they are about, and content has the answers by id.",
        ),
    ] = ()
    context: Annotated[
        str,
        Meta(
            description="Background that helps people to answer, as Markdown; images only as "
            "data: URIs (PNG, JPEG, GIF, WebP), as nothing is loaded from elsewhere."
        ),
    ] = ""
    urgency: UrgencyField = "normal"
    idempotency_key: Annotated[
        str,
        Meta(
            max_length=256,
            description="Asking again with the same key joins the earlier question, or returns "
            "its answer, instead of asking people twice.",
        ),
    ] = ""
    if_absent: Annotated[
        Literal["wait", "fail"],
        Meta(description="When nobody is connected: wait until somebody is, or fail at once."),
    ] = "wait"
    wait: Annotated[
        Literal["hold", "return", "task"],
        Meta(
            description="hold: the result is the answer. return: the result is a question_id at "
            "once, and collect_answer gets the answer later. task: as return, but a host that "
            "knows tasks gets the answer by itself."
        ),
    ] = "hold"


class CollectAnswer(msgspec.Struct, forbid_unknown_fields=True):
    """Arguments of collect_answer."""

    question_id: Annotated[str, Meta(min_length=1, max_length=128)]
    wait_seconds: Annotated[
        float, Meta(ge=0, description="How long to wait for the answer if there is none yet.")
    ] = 0


class CancelQuestion(msgspec.Struct, forbid_unknown_fields=True):
    """Arguments of cancel_question."""

    question_id: Annotated[str, Meta(min_length=1, max_length=128)]
    reason: Annotated[str, Meta(max_length=REASON, description="People are shown this.")] = ""


class NotifyUser(msgspec.Struct, forbid_unknown_fields=True):
    """Arguments of notify_user."""

    message: Annotated[str, Meta(min_length=1, max_length=64 * 1024)]
    title: Annotated[str, Meta(max_length=1000)] = ""
    level: Literal["info", "success", "warning", "error"] = "info"
    audience: AudienceField = msgspec.UNSET


class ListFrontends(msgspec.Struct, forbid_unknown_fields=True):
    """Arguments of list_frontends: none."""
