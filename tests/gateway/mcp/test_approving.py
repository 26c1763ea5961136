"""Approvals, as a caller and a person meet them."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from gateway.canonical import MOST_BYTES
from session.model import SCOPES, Principal
from tests.gateway.mcp.recording import ANN, Port, Recorder, Screen

DROP = {"database": "prod", "tables": ["users", "orders"], "force": True}


@pytest.fixture
def port() -> Port:
    return Port()


@pytest.fixture
def screen(port: Port) -> Screen:
    return port.attach(Screen())


def call(port: Port, name: str, **arguments: Any) -> Recorder:
    return port.modern("tools/call", {"name": name, "arguments": arguments})


def request(port: Port, **more: Any) -> Recorder:
    arguments = {"tool": "db.drop", "arguments": DROP, "reason": "Nobody uses them."} | more
    return call(port, "request_approval", **arguments)


def approved(port: Port, screen: Screen, **more: Any) -> str:
    """Have it approved; return the receipt."""
    response = request(port, **more)
    assert port.answer(screen, "approve") == "accepted"
    receipt: str = structured(response)["approval"]["receipt"]
    return receipt


def verify(port: Port, receipt: str, **more: Any) -> Recorder:
    arguments = {"tool": "db.drop", "arguments": DROP, "receipt": receipt} | more
    return call(port, "verify_approval", **arguments)


def structured(response: Recorder) -> dict[str, Any]:
    found: dict[str, Any] = response.reply["result"]["structuredContent"]
    return found


def words(response: Recorder) -> str:
    (block,) = response.reply["result"]["content"]
    text: str = block["text"]
    return text


def is_error(response: Recorder) -> bool:
    return bool(response.reply["result"].get("isError", False))


def test_an_approval_is_a_receipt_that_is_good_once(port: Port, screen: Screen) -> None:
    response = request(port, receipt_seconds=60)
    assert not response.complete
    assert port.answer(screen, "approve") == "accepted"
    assert not is_error(response)
    approval = structured(response)["approval"]
    assert approval["approved"] is True
    assert approval["tool"] == "db.drop"
    assert approval["expires_at"] == port.now + 60
    assert approval["receipt"] in words(response)
    assert structured(response)["answered_by"] == {"frontend_id": "web-1", "user": "ann"}

    first = verify(port, approval["receipt"])
    assert not is_error(first)
    told = structured(first)
    assert (told["valid"], told["status"], told["approved_by"]) == (True, "good", ["ann"])
    assert told["arguments_sha256"] == approval["arguments_sha256"]

    again = verify(port, approval["receipt"])
    assert is_error(again)
    assert structured(again)["status"] == "used"
    assert "Do not run db.drop." in words(again)
    assert port.is_idle()


def test_arguments_are_the_same_however_they_are_written(port: Port, screen: Screen) -> None:
    receipt = approved(port, screen, arguments={"b": 1.0, "a": [2, {"y": "\u00e9", "x": None}]})
    same = {"a": [2.0, {"x": None, "y": "\u00e9"}], "b": 1}
    assert structured(verify(port, receipt, arguments=same))["status"] == "good"


@pytest.mark.parametrize(
    ("more", "hint"),
    [
        ({"arguments": DROP | {"database": "test"}}, "other arguments"),
        ({"arguments": DROP | {"force": 1}}, "other arguments"),
        ({"arguments": {}}, "other arguments"),
        ({"arguments": {"much": "x" * (MOST_BYTES + 1)}}, "other arguments"),
        ({"tool": "db.drop_all"}, "another tool, db.drop:"),
    ],
)
def test_what_was_not_approved_must_not_run(
    port: Port, screen: Screen, more: dict[str, Any], hint: str
) -> None:
    receipt = approved(port, screen)
    response = verify(port, receipt, **more)
    assert is_error(response)
    assert structured(response)["status"] == "other_call"
    assert hint in words(response)
    # Trying it did not use it.
    assert structured(verify(port, receipt))["status"] == "good"


def test_a_receipt_ends(port: Port, screen: Screen) -> None:
    receipt = approved(port, screen, receipt_seconds=10)
    port.pass_time(10)
    response = verify(port, receipt)
    assert is_error(response)
    assert structured(response)["status"] == "expired"


def test_a_receipt_is_of_no_use_to_others(port: Port, screen: Screen) -> None:
    receipt = approved(port, screen)
    for stranger in (Principal("acme", "bob", scopes=SCOPES), Principal("b", "ann", scopes=SCOPES)):
        port.principal = stranger
        response = verify(port, receipt)
        assert is_error(response)
        # Nothing of it is told.
        assert structured(response) == {"valid": False, "status": "unknown"}
    port.principal = ANN
    assert structured(verify(port, receipt))["status"] == "good"


def test_a_receipt_that_was_changed_or_made_up_is_forged(port: Port, screen: Screen) -> None:
    receipt = approved(port, screen)
    version, body, signature = receipt.split(".")
    said = json.loads(base64.urlsafe_b64decode(body + "=="))
    longer = base64.urlsafe_b64encode(
        json.dumps(said | {"expires_at": said["expires_at"] + 1e6}).encode()
    )
    made_up = [
        f"{version}.{longer.decode().rstrip('=')}.{signature}",
        f"{version}.{body}.{signature[:-1]}",
        f"{version}.{body}.{signature}=",
        f"{version}.{body}.",
        f"{version}.{body}",
        f"approval2.{body}.{signature}",
        f"{receipt}\u00e9",
        "approval1..",
        "x",
        "x" * 32 * 1024,
    ]
    for forged in made_up:
        response = verify(port, forged)
        assert is_error(response)
        assert structured(response) == {"valid": False, "status": "forged"}, forged
    assert structured(verify(port, receipt))["status"] == "good"


def test_a_rejection_says_who_and_why_and_that_it_must_not_run(port: Port, screen: Screen) -> None:
    response = request(port)
    port.reject(screen, "Not on a Friday.")
    assert is_error(response)
    assert words(response) == "Rejected by ann: Not on a Friday. Do not run db.drop."
    told = structured(response)
    assert (told["state"], told["reason"]) == ("rejected", "Not on a Friday.")
    assert told["approval"]["approved"] is False
    assert "receipt" not in told["approval"]


def test_who_answers_reject_has_rejected(port: Port, screen: Screen) -> None:
    """A frontend that knows texts only can say no, too."""
    response = request(port)
    assert port.answer(screen, "yes") == "invalid"
    assert port.answer(screen, "reject") == "accepted"
    assert is_error(response)
    assert structured(response)["state"] == "rejected"
    assert "receipt" not in structured(response)["approval"]


def test_nobody_decides_in_time(port: Port, screen: Screen) -> None:
    response = request(port, timeout_seconds=1)
    port.pass_time(1.5)
    assert is_error(response)
    assert words(response).endswith("Do not run db.drop.")
    assert structured(response)["approval"] == {
        "approved": False,
        "tool": "db.drop",
        "arguments_sha256": structured(response)["approval"]["arguments_sha256"],
    }


def test_an_approval_is_collected_later_with_the_same_receipt(port: Port, screen: Screen) -> None:
    opened = request(port, wait="return")
    question_id = structured(opened)["question_id"]
    assert port.answer(screen, "approve") == "accepted"
    receipts = {
        structured(call(port, "collect_answer", question_id=question_id))["approval"]["receipt"]
        for _ in range(2)
    }
    (receipt,) = receipts
    assert structured(verify(port, receipt))["status"] == "good"
    assert structured(verify(port, receipt))["status"] == "used"


@pytest.mark.parametrize("how", ["at once", "later", "resumed"])
def test_an_admin_hears_who_approved_and_gets_no_receipt(
    port: Port, screen: Screen, how: str
) -> None:
    opened = request(port, wait="return", receipt_seconds=60)
    question_id = structured(opened)["question_id"]
    port.principal = Principal("acme", "boss", scopes=SCOPES)
    collect = {
        "name": "collect_answer",
        "arguments": {"question_id": question_id, "wait_seconds": 0 if how == "at once" else 100},
    }
    if how == "at once":
        assert port.answer(screen, "approve") == "accepted"
    session = port.initialize()
    told = port.in_session(session, "tools/call", collect)
    if how == "resumed":
        port.pass_time(0.2)
        told.disconnect()
        event_id = told.events[0]["id"]
    if how != "at once":
        assert port.answer(screen, "approve") == "accepted"
    if how == "resumed":
        told = port.listen(session, last_event_id=event_id)
    assert not is_error(told)
    assert words(told) == "Approved by ann."
    approval = structured(told)["approval"]
    assert approval.pop("arguments_sha256")
    ends_at = structured(told)["history"][-1]["at"] + 60
    assert approval == {"approved": True, "tool": "db.drop", "expires_at": ends_at}
    assert structured(told)["answered_by"] == {"frontend_id": "web-1", "user": "ann"}
    read = port.modern("resources/read", {"uri": f"question://{question_id}"})
    assert read.status == 200
    port.principal = ANN
    receipt = structured(call(port, "collect_answer", question_id=question_id))["approval"][
        "receipt"
    ]
    assert receipt.encode() not in told.body
    assert receipt.encode() not in read.body
    assert structured(verify(port, receipt))["status"] == "good"


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        ({"tool": "rm -rf"}, "$.tool"),
        ({"tool": ""}, "$.tool"),
        ({"tool": "db.drop\n"}, "$.tool"),
        ({"tool": "t" * 129}, "$.tool"),
        ({"arguments": []}, "$.arguments"),
        ({"arguments": {"much": "x" * (MOST_BYTES + 1)}}, f"longer than {MOST_BYTES} bytes"),
        ({"arguments": {"a": json.loads("[" * 40 + "]" * 40)}}, "nested more than 32"),
        ({"reason": ""}, "$.reason"),
        ({"receipt_seconds": 0}, "$.receipt_seconds"),
        ({"receipt_seconds": 1e6}, "$.receipt_seconds"),
    ],
)
def test_what_people_cannot_judge_is_not_asked(
    port: Port, screen: Screen, arguments: dict[str, Any], hint: str
) -> None:
    response = request(port, **arguments)
    assert is_error(response)
    assert hint in words(response)
    assert screen.asked == []


def test_who_may_not_ask_may_not_request(port: Port) -> None:
    port.principal = Principal("acme", "ann", scopes=SCOPES - {"ask"})
    for name in ("request_approval", "verify_approval"):
        assert call(port, name).status == 403
