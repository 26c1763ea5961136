"""What people are asked beside plain questions: approvals, several at once, what is urgent."""

from __future__ import annotations

import base64
import json
import struct
import zlib
from concurrent.futures import ThreadPoolExecutor

import pytest
from selenium.webdriver.common.keys import Keys

from tests.browser.pages import PALE_TEXTS, PATIENCE, Page
from tests.browser.peers import Agent
from tests.live.process import GatewayProcess

pytestmark = pytest.mark.slow

DROP = {"table": "users\u202e", "note": "<b>bold</b>\nline", "force": True}


def png(width: int = 2, height: int = 2) -> str:
    """Return a red image as a data: URI."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        body = kind + data
        return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))

    rows = (b"\0" + b"\xff\0\0" * width) * height
    data = (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
        + chunk(b"IDAT", zlib.compress(rows))
        + chunk(b"IEND", b"")
    )
    return f"data:image/png;base64,{base64.b64encode(data).decode()}"


# -- approvals


def test_a_person_sees_exactly_what_would_run_and_approves_it_with_the_keyboard(
    gateway: GatewayProcess, agent: Agent, page: Page
) -> None:
    page.open_inbox(gateway)
    with ThreadPoolExecutor(1) as waiting:
        call = waiting.submit(
            agent.call,
            "request_approval",
            tool="db.drop",
            arguments=DROP,
            reason="Unused since May.",
        )
        page.wait_for_question("May db.drop run?")
        shown = page.text(".approval")
        for words in ("db.drop", "Unused since May.", "anonymous (says it is Release agent)"):
            assert words in shown
        # Whole, as text, and with what nobody can see written out.
        assert json.loads(page.text(".approval pre")) == DROP
        assert "\\u202e" in page.text(".approval pre")
        assert [button.text for button in page.all(".choice")] == ["1\nApprove"]
        assert page.driver.execute_script(PALE_TEXTS) == []
        page.press("1")
        assert page.focused().get_attribute("value") == "approve"
        page.press(Keys.ENTER)
        result = call.result(timeout=PATIENCE)
    receipt = result["structuredContent"]["approval"]["receipt"]
    used = agent.call("verify_approval", tool="db.drop", arguments=DROP, receipt=receipt)
    assert used["structuredContent"]["status"] == "good"


def test_a_person_rejects_with_a_reason(gateway: GatewayProcess, agent: Agent, page: Page) -> None:
    page.open_inbox(gateway)
    with ThreadPoolExecutor(1) as waiting:
        call = waiting.submit(
            agent.call, "request_approval", tool="db.drop", arguments={}, reason="Because."
        )
        page.wait_for_question("May db.drop run?")
        page.press("x")
        page.wait_for_text("Why do you reject it?", ".refusal")
        page.press("Not on a Friday.")
        page.press_send()
        result = call.result(timeout=PATIENCE)
    assert result["isError"] is True
    assert result["structuredContent"]["reason"] == "Not on a Friday."


# -- several questions


def test_several_questions_are_one_card_and_one_answer(
    gateway: GatewayProcess, agent: Agent, page: Page
) -> None:
    page.open_inbox(gateway)
    question = agent.ask(
        "The release",
        questions=[
            {"question": "Which version?"},
            {"id": "where", "question": "Where to?", "choices": ["staging", "production"]},
            {"id": "notify", "question": "Tell everybody?", "schema": {"type": "boolean"}},
        ],
    )
    page.wait_for_question("The release")
    assert page.text(".card .question") == "The release"
    for words in ("Which version?", "Where to?", "Tell everybody?"):
        assert words in page.text(".answer")
    page.press_send()
    page.wait_for_text("needed", ".answer")
    page.one(".answer textarea, .answer input[type=text]").send_keys("1.2")
    page.one("input[type=radio][value='1'], .answer label:nth-of-type(2) input").click()
    page.press_send()
    assert agent.outcome(question)["content"] == {
        "q1": "1.2",
        "where": "production",
        "notify": False,
    }


def test_a_question_for_several_people_says_who_is_missing(
    gateway: GatewayProcess, agent: Agent, page: Page, other_page: Page
) -> None:
    question = agent.ask("Ship it?", choices=["yes", "no"], audience={"quorum": 2})
    page.open_inbox(gateway)
    page.one(".choice[value=yes]").click()
    page.wait_for_verdict("one more person is to answer")
    page.wait_until_gone(".card")
    other_page.come_to_front()
    other_page.open_inbox(gateway)
    other_page.one(".choice[value=no]").click()
    told = agent.outcome(question)
    assert (told["state"], told["counts"]) == ("answered", {"yes": 1, "no": 1})
    assert len({each["answered_by"]["frontend_id"] for each in told["answers"]}) == 2
    # Whoever has answered is not asked again.
    page.come_to_front()
    page.open_inbox(gateway)
    assert page.all(".card") == []


# -- urgency


def test_what_is_urgent_comes_first_and_says_so(
    gateway: GatewayProcess, agent: Agent, page: Page
) -> None:
    agent.ask("Whenever?", urgency="low")
    agent.ask("Today?")
    page.open_inbox(gateway)
    page.wait_for_text("2", "#waiting-count")
    before = page.text(".card .question")
    agent.ask("Now?", urgency="high")
    page.wait_for_text("Urgent", "#waiting")
    page.wait_for_text("Urgent question: Now?", "#announcer")
    # In one step, as the list may be drawn again meanwhile.
    shown = page.run(
        """
        const place = (row) => Number(row.getAttribute("aria-posinset"));
        const rows = [...document.querySelectorAll("#waiting .row")];
        return rows.sort((one, other) => place(one) - place(other))
          .map((row) => row.querySelector(".row-text").innerText);
        """
    )
    assert shown == ["Now?", "Today?", "Whenever?"]
    # It does not take the place of what somebody looks at.
    assert page.text(".card .question") == before


# -- Markdown

CONTEXT = f"""# Why
The *build* failed **twice** in `make_all_now`, see https://ci.example/42.
Line breaks stay.

- one
  - inner
- two

1. first
2. second

| step | state |
|---|---|
| build | failed |

> quoted

```
<script>window.bad = 1</script>
```

<img src=x onerror="window.bad = 2"> <b>not bold</b>
[click](javascript:window.bad=3) [here](https://evil.example/) snake_case_name 2 * 3 * 4
![red]({png()})
![far](https://evil.example/a.png) ![drawn](data:image/svg+xml;base64,AAAA)
![broken](data:image/png;base64,AAAA)
"""


def test_markdown_of_an_agent_is_shown_and_nothing_in_it_runs_or_is_loaded(
    gateway: GatewayProcess, agent: Agent, page: Page
) -> None:
    page.open_inbox(gateway)
    agent.ask("Go on?", context=CONTEXT)
    page.wait_for_question("Go on?")
    page.wait_for_text("[Image not shown: broken; it is damaged]", ".markdown")
    shown = page.text(".markdown")
    assert [each.text for each in page.all(".markdown :is(h3, em, strong)")] == [
        "Why",
        "build",
        "twice",
    ]
    assert "make_all_now" in [each.text for each in page.all(".markdown code")]
    assert [each.text for each in page.all(".markdown ol > li")] == ["first", "second"]
    assert [each.text for each in page.all(".markdown ul ul > li")] == ["inner"]
    assert [each.text for each in page.all(".markdown td")] == ["build", "failed"]
    assert page.text(".markdown blockquote") == "quoted"
    for words in (
        "<script>window.bad = 1</script>",
        '<img src=x onerror="window.bad = 2"> <b>not bold</b>',
        "[click](javascript:window.bad=3)",
        "here (evil.example)",
        "snake_case_name 2 * 3 * 4",
        "[Image not shown: far; images from elsewhere are not loaded]",
        "[Image not shown: drawn; it is no PNG, JPEG, GIF or WebP]",
    ):
        assert words in shown
    (image,) = page.all(".markdown img")
    page.wait(lambda: image.get_property("naturalWidth") == 2, "the image")
    assert image.get_attribute("alt") == "red"
    links = page.all(".markdown a")
    assert [link.get_attribute("href") for link in links] == [
        "https://ci.example/42",
        "https://evil.example/",
    ]
    assert {link.get_attribute("rel") for link in links} == {"noopener noreferrer"}
    assert page.run("return window.bad ?? 0") == 0
    loaded = page.run("return performance.getEntriesByType('resource').map(({ name }) => name)")
    assert not [name for name in loaded if "evil" in name]
    assert page.driver.execute_script(PALE_TEXTS) == []


@pytest.mark.parametrize(
    "hostile",
    [
        "*a " * 80_000,
        "`" * 250_000,
        "[a](" * 60_000,
        "![](data:" * 25_000,
        "> " * 100_000,
        "- " * 100_000,
        "**__" * 60_000,
        "http://" + "." * 200_000,
        "#" * 6 + " " * 250_000 + "x",
        "|\n" + " " * 250_000 + "-x",
        ("a | b\n" + " " * 990 + "-" + " " * 990 + "x\n\n") * 150,
        "a | b\n" + "-" * 250_000 + "x",
        # Where a line ends for regular expressions, and not for Markdown.
        "# " + " " * 250_000 + "\u2028",
        "\n" * 250_000,
    ],
    ids=lambda text: text[:9],
)
def test_no_text_takes_long(gateway: GatewayProcess, page: Page, hostile: str) -> None:
    page.driver.get(f"http://127.0.0.1:{gateway.ws_port}/")
    # The driver gives up on a script that takes PATIENCE seconds.
    made = page.run(
        """
        const { markdown } = await import("/markdown.js");
        return markdown(given[0]).tagName;
        """,
        hostile,
    )
    assert made == ("PRE" if hostile.isspace() else "DIV")
