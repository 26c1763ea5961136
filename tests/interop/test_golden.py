"""Our bytes against those of a real Go program: as it wrote them once, and as it writes them here.

`go/golden/table.golden` is the output of `go/golden/main.go` and needs no Go to compare
with; `go run . > table.golden` makes it anew.
"""

from __future__ import annotations

import hashlib
import math
import shutil
import struct
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from session import gojson

GOLDEN = Path(__file__).parent / "go" / "golden"

PERSON = {"name": "null", "age": 0, "score": 0.0, "token": None, "tags": None, "boss": None}
TABLE: dict[str, Any] = {
    "null": None,
    "nil slice": None,
    "empty slice": [],
    "bytes": b"\x00\xff\x01",
    "struct": {
        "name": "Ada <ada@example.org>",
        "age": 36,
        "score": 1.0,
        "token": b"ab",
        "tags": None,
        "boss": PERSON,
    },
    "map": {"<": True, "a": "x & y", "b": 1.5},
    "html": "<script>alert('a' && \"b\")</script>",
    "separators": "\u2027\u2028\u2029\u202a",
    "controls": "\x00\x01\x08\t\n\x0b\x0c\r\x1f\x7f\x80",
    "slashes": '/\\"',
    "text": "\u00e9 \u65e5\u672c \N{GRINNING FACE} \ufeff",
    "int64": -(2**63),
    "uint64": 2**64 - 1,
    "floats": [
        *(0.0, -0.0, 1.0, -1.0, 0.1, -2.5, 100.0, 1e15, 1e16, 123456789012345678.0, 1e20),
        *(999999999999999900000.0, 1e21, -1e21, 1.5e300, 1.7976931348623157e308, 1e-5, 1e-6),
        *(9.9e-7, 1e-7, -1.5e-9, 1e-10, 2.5e-100, 5e-324, math.pi, 2.0**53, 1 / 3),
    ],
}


def _rows(output: bytes) -> dict[str, bytes]:
    return {name.decode(): data for name, data in (row.split(b"\t") for row in output.splitlines())}


def test_the_table_is_written_as_go_wrote_it() -> None:
    rows = _rows((GOLDEN / "table.golden").read_bytes())
    assert {name: gojson.encode(value) for name, value in TABLE.items()} == rows


@pytest.fixture(scope="module")
def go_program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Go program, compiled."""
    go = shutil.which("go")
    if go is None:
        pytest.skip("there is no Go here: compared with the stored table only, not with Go itself")
    program = tmp_path_factory.mktemp("golden") / "golden"
    subprocess.run([go, "build", "-o", program, "."], cwd=GOLDEN, check=True)
    return program


Echo = Callable[[bytes], bytes]


@pytest.fixture(scope="module")
def echo(go_program: Path) -> Iterator[Echo]:
    """What Go makes of one document after another."""
    with subprocess.Popen(
        [go_program, "echo"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        stdin, stdout = process.stdin, process.stdout
        assert stdin is not None
        assert stdout is not None

        def exchange(document: bytes) -> bytes:
            stdin.write(document + b"\n")
            stdin.flush()
            return stdout.readline().removesuffix(b"\n")

        yield exchange


def test_the_stored_table_is_what_go_writes_today(go_program: Path) -> None:
    output = subprocess.run([go_program], capture_output=True, check=True).stdout
    assert output == (GOLDEN / "table.golden").read_bytes()


def test_thousands_of_doubles_are_written_as_go_writes_them(echo: Echo) -> None:
    """Any 64 bits that are a number; from a hash, so that every run has the same."""
    patterns = (hashlib.sha256(b"%d" % number).digest() for number in range(5_000))
    doubles = [
        double
        for pattern in patterns
        for double in struct.unpack("<4d", pattern)
        if math.isfinite(double)
    ]
    # Around one, where most numbers are, and short ones.
    doubles += [math.ldexp(math.frexp(double)[0], n % 90 - 30) for n, double in enumerate(doubles)]
    doubles += [float(f"{n}e{exponent}") for exponent in range(-12, 26) for n in range(1, 40)]
    written = gojson.encode(doubles)
    assert echo(written) == written


texts = st.text(st.characters(codec="utf-8"), max_size=12) | st.text('<>&\u2028\u2029\\"\b\f\x7f')
values = st.recursive(
    st.none() | st.booleans() | texts | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=12,
)


def _as_a_go_map(value: Any) -> Any:
    """Sort keys by their bytes, as Go does with those of a map."""
    if isinstance(value, dict):
        return {key: _as_a_go_map(value[key]) for key in sorted(value, key=str.encode)}
    return [_as_a_go_map(part) for part in value] if isinstance(value, list) else value


@given(value=values)
def test_what_we_write_go_reads_and_writes_alike(echo: Echo, value: Any) -> None:
    written = gojson.encode(_as_a_go_map(value))
    assert echo(written) == written
