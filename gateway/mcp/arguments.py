"""The arguments of the product's tools: types that check, and schemas that models read.

Pure module. Unknown arguments are refused: a misspelt one that is silently
dropped would ask people something else than the model meant.
"""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta

#: The longest reason, in characters.
REASON: Final = 1000


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


AudienceField = Annotated[
    AudienceArgument | msgspec.UnsetType, Meta(description="Whom to ask; everybody by default.")
]


class AskUser(msgspec.Struct, forbid_unknown_fields=True):
    """Arguments of ask_user."""

    question: Annotated[str, Meta(description="The question to ask the user")]
    timeout_seconds: Annotated[
        Annotated[float, Meta(gt=0)] | msgspec.UnsetType,
        Meta(description="Timeout in seconds; when it has passed, you are told."),
    ] = msgspec.UNSET
    audience: AudienceField = msgspec.UNSET
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
    context: Annotated[str, Meta(description="Background that helps people to answer.")] = ""
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
        Literal["hold", "return"],
        Meta(
            description="hold: the result is the answer. return: the result is a question_id at "
            "once, and collect_answer gets the answer later."
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
