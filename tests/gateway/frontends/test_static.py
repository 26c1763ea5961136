"""The inbox's files: only what was found, with its type, its policy and its tag."""

import pytest

from gateway import codec
from gateway.frontends.static import StaticFiles

FILES = StaticFiles(
    {"index.html": b"<p>", "inbox.css": b"p{}", "app.js": b"1", "icon.svg": b"<svg/>"}
)


@pytest.mark.parametrize(
    ("path", "content_type"),
    [
        ("/", b"text/html; charset=utf-8"),
        ("/index.html", b"text/html; charset=utf-8"),
        ("/inbox.css", b"text/css; charset=utf-8"),
        ("/app.js", b"text/javascript; charset=utf-8"),
        ("/icon.svg", b"image/svg+xml"),
    ],
)
def test_a_file_has_its_type_and_a_strict_policy(path: str, content_type: bytes) -> None:
    found = FILES.find(path, {})
    assert found is not None
    assert (found.status, found.content_type) == (200, content_type)
    headers = dict(found.headers)
    policy = headers[b"Content-Security-Policy"]
    assert b"default-src 'none'" in policy
    assert b"unsafe" not in policy
    assert headers[b"X-Content-Type-Options"] == b"nosniff"


def test_only_pages_of_the_origins_that_were_named_may_frame_the_inbox() -> None:
    files = StaticFiles({"index.html": b"<p>"})

    def policy() -> bytes:
        found = files.find("/", {})
        assert found is not None
        return dict(found.headers)[b"Content-Security-Policy"]

    assert policy().endswith(b"; frame-ancestors 'none'")
    files.become(("https://app.example", "http://localhost:3000"))
    assert policy().endswith(b"; frame-ancestors https://app.example http://localhost:3000")
    files.become(())
    assert policy().endswith(b"; frame-ancestors 'none'")


@pytest.mark.parametrize(
    "path",
    ["/..", "/../app.py", "/inbox/../index.html", "//index.html", "/%2e%2e/app.py", "/APP.JS", ""],
)
def test_nothing_else_can_be_named(path: str) -> None:
    assert FILES.find(path, {}) is None


def test_who_has_the_file_is_told_that_it_has_not_changed() -> None:
    found = FILES.find("/app.js", {})
    assert found is not None
    tag = dict(found.headers)[b"ETag"]
    for known in (tag, b'"other", ' + tag, b"W/" + tag):
        again = FILES.find("/app.js", {b"if-none-match": known})
        assert again is not None
        assert (again.status, again.body) == (304, b"")
    fresh = FILES.find("/app.js", {b"if-none-match": b'"other"'})
    assert fresh is not None
    assert fresh.status == 200


def test_the_inbox_is_complete() -> None:
    inbox = StaticFiles.of_inbox()
    for path in ("/", "/frontend-router.js", "/inbox.css", "/inbox.js"):
        found = inbox.find(path, {})
        assert found is not None, path
        assert found.body


def test_a_folder_without_a_page_has_none() -> None:
    assert StaticFiles({"a.js": b"1"}).find("/", {}) is None


@pytest.mark.parametrize("coding", [b"gzip", b"zstd"])
def test_a_file_is_kept_compressed_for_those_who_want_it(coding: bytes) -> None:
    script = b"let waiting = 0; " * 100
    files = StaticFiles({"app.js": script, "tiny.js": b"1"})
    plain, packed = (files.find("/app.js", {b"accept-encoding": it}) for it in (b"", coding))
    assert plain is not None
    assert packed is not None
    assert plain.body == script
    assert codec.decoded(packed.body, coding, len(script)) == script
    assert dict(packed.headers)[b"Content-Encoding"] == coding
    for form in (plain, packed):
        assert dict(form.headers)[b"Vary"] == b"Accept-Encoding"
    tags = [dict(form.headers)[b"ETag"] for form in (plain, packed)]
    assert tags[0] != tags[1]
    again = {b"if-none-match": tags[1]}
    for accept, status in ((coding, 304), (b"", 200)):
        found = files.find("/app.js", again | {b"accept-encoding": accept})
        assert found is not None
        assert found.status == status
    tiny = files.find("/tiny.js", {b"accept-encoding": coding})
    assert tiny is not None
    assert tiny.body == b"1"
    assert b"Vary" not in dict(tiny.headers)
