"""Scripts, as they are sent."""

from __future__ import annotations

import hiredis

from session.redis.commands import Parts, Script, pack
from session.steps import WHOLE


def test_a_script_is_called_by_hash_and_with_its_source() -> None:
    source = "return '$7\r\nEVALSHA'"
    script = Script("odd", source)
    packed = script.packed((b"k1", b"k2"), ("a", 1, 1.5))
    assert words(packed) == [b"EVALSHA", script.sha1, b"2", b"k1", b"k2", b"a", b"1", b"1.5"]
    whole = script.with_source(packed)
    assert words(whole) == [b"EVAL", source.encode(), b"2", b"k1", b"k2", b"a", b"1", b"1.5"]
    # It has its source already.
    assert script.with_source(whole) == whole


def words(packed: bytes) -> object:
    reader = hiredis.Reader()
    reader.feed(packed)
    return reader.gets()


def test_a_script_is_sent_as_hiredis_would_send_it() -> None:
    script = Script("any", "return 1")
    for size in (0, 9, 10, 1_023, 1_024, WHOLE, WHOLE + 1):
        values = (b"x" * size, "\u00e9", 0, 1.5, 1_800_000_000.125, b"")
        packed = script.packed((b"k",), values)
        assert packed == pack((b"EVALSHA", script.sha1, 1, b"k", *values))


def test_what_is_always_the_same_is_packed_once() -> None:
    script = Script("any", "return 1")
    keys, args = Parts(b"k2", b"k3"), Parts("a", 1, 2.5)
    together = [
        script.packed((b"k1", keys), ("x", args, b"y")),
        script.packed((b"k1", keys), (args, args)),
        script.packed((b"k1",), (args, args)),
        script.packed((b"k1",), ()),
        script.packed((b"k1", keys), ("x", args, b"y")),
    ]
    one_by_one = [
        pack((b"EVALSHA", script.sha1, 3, b"k1", b"k2", b"k3", "x", "a", 1, 2.5, b"y")),
        pack((b"EVALSHA", script.sha1, 3, b"k1", b"k2", b"k3", "a", 1, 2.5, "a", 1, 2.5)),
        pack((b"EVALSHA", script.sha1, 1, b"k1", "a", 1, 2.5, "a", 1, 2.5)),
        pack((b"EVALSHA", script.sha1, 1, b"k1")),
    ]
    assert together == [*one_by_one, one_by_one[0]]
    assert words(script.with_source(together[3])) == [b"EVAL", b"return 1", b"1", b"k1"]
