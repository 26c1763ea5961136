"""`frontend-router.js` where the gateway wants to know who somebody is, in a real browser."""

from __future__ import annotations

import contextlib
import importlib.resources
import json
import threading
from collections.abc import Iterator
from typing import Any

import jsonschema_rs
import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.server import ServerConnection, serve

from tests.browser.conftest import LEAVE_AT_ONCE
from tests.browser.keyring import Keyring
from tests.browser.pages import Page, origin_of
from tests.browser.peers import Agent, open_site
from tests.live.process import GatewayProcess, running_gateway

pytestmark = pytest.mark.slow

# `begin` connects; `until` waits for a state, a question or the demand to sign in.
_BEGIN = """
const [url, ...rest] = given;
const { connect } = await import(url + "/frontend-router.js");
window.asked = [];
window.begin = (options) => {
  window.router = connect({ url: url + "/ws", ...options });
  window.states = [];
  window.demands = [];
  router.on("state", (change) => states.push(change));
  router.on("signin", (demand) => demands.push(demand));
};
window.until = (state) => new Promise((resolve) => {
  const look = () => router.state === state && (off(), resolve(states.at(-1)));
  const off = router.on("state", look);
  look();
});
"""


def start(page: Page, gateway: GatewayProcess, script: str, *arguments: Any) -> Any:
    """Run a script with the client on a page that has nothing else."""
    page.driver.get(origin_of(gateway) + "/health")
    return page.run(_BEGIN + script, origin_of(gateway), *arguments)


def test_a_token_becomes_a_ticket_and_is_in_no_frame_and_no_url(
    guarded: GatewayProcess, keyring: Keyring, page: Page
) -> None:
    key = keyring.create("ann", group="support")
    who = start(
        page,
        guarded,
        """
        begin({ token: rest[0], user: "somebody else" });
        await until("open");
        return [router.user, router.groups];
        """,
        key,
    )
    assert who == ["ann", ["support"]]
    [[ours, ticket]] = page.run("return line.offered")
    assert ours == "frontend-router.v1"
    assert ticket.startswith("frontend-router.ticket.")
    assert page.run("return line.sockets[0].protocol") == ours
    schema = json.loads(
        importlib.resources.files("gateway.frontends").joinpath("protocol.schema.json").read_text()
    )
    frames = page.run("return line.frames")
    for frame in frames:
        jsonschema_rs.validator_for(schema).validate(json.loads(frame))
    requested = page.run("return performance.getEntries().map((entry) => entry.name)")
    assert origin_of(guarded) + "/ticket" in requested
    assert key not in json.dumps([frames, page.run("return line.said"), requested])


def test_the_function_is_asked_once_more_when_its_token_is_refused(
    guarded: GatewayProcess, keyring: Keyring, page: Page
) -> None:
    old, new = keyring.create("ann"), keyring.create("ann")
    keyring.revoke(old)
    result = start(
        page,
        guarded,
        """
        const tokens = [...rest];
        begin({ token: async (how) => { asked.push(how); return tokens.shift(); } });
        await until("open");
        return { asked, demands, states: states.map(({ state }) => state) };
        """,
        old,
        new,
    )
    assert result["asked"] == [{"refused": False}, {"refused": True}]
    assert result["demands"] == []
    assert result["states"] == ["waiting", "connecting", "open"]


def test_a_token_that_stays_wrong_is_a_demand_to_sign_in(
    guarded: GatewayProcess, keyring: Keyring, page: Page
) -> None:
    wrong = "fr_0123456789abcdef_" + "x" * 43
    change, demands, said = start(
        page,
        guarded,
        """
        begin({ token: rest[0] });
        const change = await until("closed");
        return [change, demands, line.offered.length];
        """,
        wrong,
    )
    assert change["needsSignIn"] is True
    assert change["terminal"] is True
    [demand] = demands
    assert demand["code"] == 3000
    assert "mistyped, revoked or expired" in demand["reason"]
    assert said == 0
    good = keyring.create("ben")
    assert page.run("router.signIn(given[0]); await until('open'); return router.user", good) == (
        "ben"
    )


@pytest.mark.parametrize("token", ["two words", "schlüssel", "  ", None])
def test_what_cannot_be_a_token_is_not_sent(
    guarded: GatewayProcess, page: Page, token: str | None
) -> None:
    demands, requested = start(
        page,
        guarded,
        """
        begin({ token: () => rest[0] });
        await until("closed");
        return [demands, performance.getEntries().map((entry) => entry.name)];
        """,
        token,
    )
    assert [demand["code"] for demand in demands] == [3000]
    assert (token or "two").strip() not in demands[0]["reason"] or not (token or "").strip()
    assert not any(name.endswith("/ticket") for name in requested)


def test_a_credential_that_may_not_answer_is_told_apart(
    guarded: GatewayProcess, keyring: Keyring, page: Page
) -> None:
    demands = start(
        page,
        guarded,
        "begin({ token: () => rest[0] }); await until('closed'); return demands;",
        keyring.create("ci", "ask"),
    )
    assert [demand["code"] for demand in demands] == [3503]
    assert "scope answer" in demands[0]["reason"]


def test_a_key_that_is_revoked_is_replaced_and_an_answer_given_meanwhile_goes_out(
    guarded: GatewayProcess, keyring: Keyring, page: Page
) -> None:
    old, new = keyring.create("ann"), keyring.create("ann")
    agent = Agent(guarded, keyring.create("ci", "ask"))
    start(
        page,
        guarded,
        """
        const tokens = [...rest];
        window.hold = new Promise((release) => (window.release = release));
        const token = async (how) => {
          asked.push(how);
          if (asked.length > 1) await hold;
          return tokens.shift();
        };
        begin({ token });
        await until("open");
        """,
        old,
        new,
    )
    question = agent.ask("Still you?")
    page.wait(lambda: page.run("return router.questions.size === 1"), "the question")
    keyring.revoke(old)
    page.wait(lambda: page.run("return asked.length > 1"), "the function to be asked")
    result = page.run(
        """
        const ack = router.answer(given[0], "Yes");
        release();
        return { ack: await ack, asked, demands, code: states.find((each) => each.code)?.code };
        """,
        question,
    )
    assert result["ack"]["status"] == "accepted"
    assert agent.outcome(question)["answer"] == "Yes"
    assert result["code"] == 3000
    assert result["asked"] == [{"refused": False}, {"refused": True}]
    assert result["demands"] == []


def test_a_page_without_a_credential_hears_that_it_needs_one(
    guarded: GatewayProcess, page: Page
) -> None:
    demands = start(page, guarded, "begin({}); await until('closed'); return demands;")
    [demand] = demands
    assert demand["code"] == 3000
    assert "connect with a token, or bring a ticket" in demand["reason"]


def test_a_backend_makes_a_ticket_for_each_connection(
    guarded: GatewayProcess, keyring: Keyring, page: Page
) -> None:
    offered = start(
        page,
        guarded,
        """
        const ticket = async () => {
          asked.push(1);
          if (asked.length === 2) return "not one of them";
          if (asked.length === 3) return "0".repeat(64);
          const headers = { Authorization: `Bearer ${rest[0]}` };
          const made = await (await fetch("/ticket", { method: "POST", headers })).json();
          return asked.length === 1 ? made.ticket : made.subprotocol;
        };
        begin({ ticket });
        await until("open");
        line.sockets[0].close();
        await until("waiting");
        await until("open");
        return line.offered;
        """,
        keyring.create("ann"),
    )
    # What cannot be a ticket was offered to nobody; what only looks like one was refused.
    assert len({ticket for _, ticket in offered}) == len(offered) == 3
    assert page.run("return [asked.length, router.user, demands]") == [4, "ann", []]


def test_a_backend_that_has_nobody_signed_in_says_so(guarded: GatewayProcess, page: Page) -> None:
    demands = start(
        page, guarded, "begin({ ticket: () => null }); await until('closed'); return demands;"
    )
    assert demands == [{"reason": "", "code": 3000}]


def test_a_gateway_without_credentials_is_used_without_a_ticket(
    gateway: GatewayProcess, page: Page
) -> None:
    offered, user = start(
        page,
        gateway,
        "begin({ token: 'any' }); await until('open'); return [line.offered, router.user];",
    )
    assert offered == [[]]
    assert user == ""


def test_what_one_person_was_about_to_say_is_not_said_by_the_next(
    guarded: GatewayProcess, keyring: Keyring, page: Page
) -> None:
    ann, ben = keyring.create("ann"), keyring.create("ben")
    agent = Agent(guarded, keyring.create("ci", "ask"))
    question = agent.ask("Who answers?")
    start(
        page,
        guarded,
        """
        begin({ token: rest[0] });
        await until("open");
        window.before = router.frontendId;
        """,
        ann,
    )
    page.wait(lambda: page.run("return router.questions.size === 1"), "the question")
    keyring.revoke(ann)
    page.wait(lambda: page.run("return demands.length === 1"), "the demand")
    result = page.run(
        """
        const ack = router.answer(given[0], "Ann says");
        router.signIn(given[1]);
        await until("open");
        return {
          ack: await ack,
          user: router.user,
          isAnother: router.frontendId !== window.before,
          isKept: Object.values(sessionStorage).includes(router.frontendId),
        };
        """,
        question,
        ben,
    )
    assert result == {"ack": {"status": "unsent"}, "user": "ben", "isAnother": True, "isKept": True}
    page.wait(lambda: page.run("return router.questions.size === 1"), "the question again")
    page.run("await router.answer(given[0], 'Ben says')", question)
    assert agent.outcome(question)["answer"] == "Ben says"


def test_a_gateway_that_has_no_time_is_asked_again_when_it_says(
    guarded: GatewayProcess, page: Page
) -> None:
    change, pause = start(
        page,
        guarded,
        """
        // The clock stands still, so that nothing passes before it is read.
        const begun = Date.now();
        Date.now = () => begun;
        window.fetch = async () => new Response('{"error": "Later."}',
          { status: 503, headers: { "Retry-After": "3" } });
        begin({ token: "any" });
        const change = await until("waiting");
        return [change, change.retryAt - Date.now()];
        """,
    )
    assert change["reason"] == "Later."
    assert 2_000 < pause < 4_000


def test_a_function_that_fails_is_asked_again(
    guarded: GatewayProcess, keyring: Keyring, page: Page
) -> None:
    reported = start(
        page,
        guarded,
        """
        let reported = 0;
        window.addEventListener("error", (event) => {
          reported += 1;
          event.preventDefault();
        });
        const token = () => {
          if (asked.push(1) === 1) throw new Error("offline");
          return rest[0];
        };
        begin({ token });
        await until("open");
        return reported;
        """,
        keyring.create("ann"),
    )
    assert reported == 1


def test_a_page_of_an_allowed_origin_signs_in_and_hears_why_it_cannot(
    keyring: Keyring, page: Page
) -> None:
    # The gateway knows it from its start.
    key = keyring.create("ann")
    with (
        open_site("<!doctype html><title>App</title>") as app,
        running_gateway(
            *LEAVE_AT_ONCE, "--access-origins", app, "--auth-keys", str(keyring.path)
        ) as gateway,
    ):
        page.driver.get(app)
        demands, user = page.run(
            _BEGIN
            + """
            begin({ token: "wrong" });
            await until("closed");
            router.signIn(rest[0]);
            await until("open");
            router.close();
            return [demands, router.user];
            """,
            origin_of(gateway),
            key,
        )
    [demand] = demands
    assert "Access tokens are not accepted here" in demand["reason"]
    assert user == "ann"


@contextlib.contextmanager
def open_gateway_whose_store_is_away() -> Iterator[str]:
    """Serve who cannot find out at first who somebody is; return its URL."""
    attempts: list[dict[str, Any]] = []

    def speak(connection: ServerConnection) -> None:
        with contextlib.suppress(ConnectionClosed):
            for text in connection:
                attempts.append(json.loads(text))
                answer: dict[str, Any] = {"type": "connect_ack", "status": "connected"}
                if len(attempts) == 1:
                    answer = {"type": "error", "code": "unavailable", "message": "A moment."}
                    answer["retryable"] = True
                connection.send(json.dumps(answer))

    with serve(speak, "127.0.0.1", 0) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"ws://127.0.0.1:{server.socket.getsockname()[1]}/ws"
        server.shutdown()
        thread.join()


def test_who_cannot_be_recognized_now_comes_back_in_a_moment(page: Page) -> None:
    with (
        open_site("<!doctype html><title>App</title>") as app,
        running_gateway(*LEAVE_AT_ONCE, "--access-origins", app) as gateway,
        open_gateway_whose_store_is_away() as url,
    ):
        page.driver.get(app)
        waited = page.run(
            _BEGIN
            + """
            begin({ url: rest[0] });
            const waited = await until("waiting");
            await until("open");
            router.close();
            return waited;
            """,
            origin_of(gateway),
            url,
        )
    assert waited["reason"] == "A moment."
