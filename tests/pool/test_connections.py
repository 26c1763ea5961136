"""The one task that owns every socket, on real loopback sockets."""

import collections
import contextlib
import os
import resource
import socket
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from typing import Any

import pytest
import trio
import trio.testing

from pool.connection import Connection, IsProxy
from pool.connection_settings import Settings
from pool.connections import Connections
from pool.polling import Selector
from pool.timers import Timers

Limits = Callable[..., Settings]


class Recorder:
    """A protocol that notes what it is told, and echoes when asked to."""

    def __init__(
        self, connection: Connection, log: list[str], *, echo: bool, idle: bool = False
    ) -> None:
        self.connection = connection
        self.log = log
        self.echo = echo
        self.keeps_open = False
        connection.is_idle = idle
        self.received = b""
        self.changed = trio.Event()
        log.append("made")

    def _tell(self, what: str) -> None:
        self.log.append(what)
        self.changed.set()
        self.changed = trio.Event()

    def data_received(self, data: bytes) -> None:
        self.received += data
        if data == b"crash":
            raise RuntimeError("a defect in a protocol")
        if self.echo:
            self.connection.write(data)
        self._tell("data")

    def eof_received(self) -> bool:
        self._tell("eof")
        return self.keeps_open

    def drained(self) -> None:
        self._tell("drained")

    def connection_lost(self) -> None:
        self._tell("lost")

    async def wait_for(self, what: str) -> None:
        while what not in self.log:
            await self.changed.wait()


class Server:
    """A running `Connections` with one listener, and what it made."""

    def __init__(self, settings: Settings, is_proxy: IsProxy = lambda _peer: False) -> None:
        self.failures: list[Exception] = []
        self.timers: Timers[Callable[[], None]] = Timers(trio.current_time())
        self.connections = Connections(settings, self.timers, lambda _c, e: self.failures.append(e))
        self.protocols: list[Recorder] = []
        self.streams: list[trio.SocketStream] = []
        self.echo = True
        #: Whether they say that nothing is under way on them.
        self.idle = False
        self._made = trio.Event()
        listener = socket.socket()
        listener.bind(("127.0.0.1", 0))
        self.address = listener.getsockname()
        self.connections.listen(listener, self._make, refusal=b"refused", is_proxy=is_proxy)

    def _make(self, connection: Connection) -> Recorder:
        recorder = Recorder(connection, [], echo=self.echo, idle=self.idle)
        self.protocols.append(recorder)
        self._made.set()
        self._made = trio.Event()
        return recorder

    async def connect(self) -> trio.SocketStream:
        stream = await trio.open_tcp_stream(*self.address)
        self.streams.append(stream)
        return stream

    async def client(self) -> tuple[trio.SocketStream, Recorder]:
        count = len(self.protocols)
        stream = await self.connect()
        while len(self.protocols) == count:
            await self._made.wait()
        return stream, self.protocols[-1]


@contextlib.asynccontextmanager
async def open_server(
    *, is_proxy: IsProxy = lambda _peer: False, **limits: float
) -> AsyncIterator[Server]:
    server = Server(Settings(**limits), is_proxy)  # type: ignore[arg-type]
    with trio.fail_after(60):
        async with trio.open_nursery() as nursery:
            await nursery.start(server.connections.run)
            yield server
            nursery.cancel_scope.cancel()
    for stream in server.streams:
        stream.socket.close()
    assert server.connections.statistics().open == 0


async def read_all(stream: trio.SocketStream) -> bytes:
    received = b""
    async for piece in stream:
        received += piece
    return received


async def test_what_is_written_in_one_turn_leaves_in_one_send() -> None:
    async with open_server() as server:
        server.echo = False
        stream, recorder = await server.client()
        before = server.connections.statistics().sends
        recorder.echo = True

        def thrice(data: bytes) -> None:
            for _ in range(3):
                recorder.connection.write(data)

        recorder.data_received = thrice  # type: ignore[method-assign]
        await stream.send_all(b"abc")
        received = b""
        while len(received) < 9:
            received += await stream.receive_some()
        assert received == b"abc" * 3
        assert server.connections.statistics().sends - before == 1


async def test_a_slow_reader_blocks_nobody_and_gets_everything_in_order() -> None:
    async with open_server(outbox_bytes=64 * 1024 * 1024) as server:
        stream, recorder = await server.client()
        sent = b"".join(b"%07d " % number for number in range(1_000_000))
        recorder.connection.tell_when_drained = True
        for at in range(0, len(sent), 100_000):
            recorder.connection.write(sent[at : at + 100_000])
        assert server.connections.statistics().blocked == 1
        other, _ = await server.client()
        await other.send_all(b"ping")
        assert await other.receive_some() == b"ping"
        received = bytearray()
        while len(received) < len(sent):
            received += await stream.receive_some()
        assert received == sent
        await recorder.wait_for("drained")
        assert server.connections.statistics().outbox_bytes == 0


async def test_what_is_large_leaves_behind_its_head_and_all_that_came_before() -> None:
    async with open_server(outbox_bytes=64 * 1024) as server:
        stream, recorder = await server.client()
        recorder.connection.tell_when_drained = True
        # The first of all may be larger than the outbox.
        large = b"l" * 1_000_000
        recorder.connection.write_behind(b"head ", large)
        assert recorder.connection.outbox_bytes == len(large) + 5
        received = b""
        while len(received) < len(large) + 5:
            received += await stream.receive_some()
        assert received == b"head " + large
        await recorder.wait_for("drained")
        recorder.connection.write(b"one ")
        recorder.connection.write_behind(b"two ", b"three")
        assert await stream.receive_some() == b"one two three"
        recorder.connection.write(b"x" * 60_000)
        recorder.connection.write(b"x" * 60_000)
        recorder.connection.write_behind(b"head ", b"l" * 10_000)
        assert recorder.log[-1] == "lost"
        recorder.connection.write_behind(b"head ", large)
        assert recorder.connection.outbox_bytes == 0


@pytest.mark.parametrize("before", [0, 1, 5_000])
async def test_one_message_may_be_longer_than_the_outbox(before: int) -> None:
    async with open_server(outbox_bytes=64 * 1024) as server:
        stream, recorder = await server.client()
        recorder.connection.tell_when_drained = True
        large = b"l" * 8_000_000
        wanted = b"b" * before + large + b"e" * 60_000
        if before:
            recorder.connection.write(b"b" * before)
        recorder.connection.write(large)
        for _ in range(6):
            recorder.connection.write(b"e" * 10_000)
        received = b""
        while len(received) < len(wanted):
            received += await stream.receive_some()
        assert received == wanted
        # What waits beside it is bounded, and so is what comes when it has left.
        await recorder.wait_for("drained")
        recorder.connection.write(large)
        for _ in range(7):
            recorder.connection.write(b"e" * 10_000)
        assert recorder.log[-1] == "lost"
        assert server.connections.statistics().slow_consumers == 1
        await stream.aclose()


async def test_the_longest_that_waits_may_be_between_others() -> None:
    async with open_server(outbox_bytes=64 * 1024) as server:
        _stream, recorder = await server.client()
        recorder.connection.write(b"b" * 5_000)
        # It is within the bound, as is all that came before it.
        recorder.connection.write(b"l" * 60_000)
        for _ in range(6):
            recorder.connection.write(b"e" * 10_000)
        assert recorder.connection.outbox_bytes == 125_000
        # A longer one takes its place, and all that was there before counts.
        recorder.connection.write(b"l" * 60_001)
        assert recorder.log[-1] == "lost"
        assert server.connections.statistics().slow_consumers == 1


async def test_how_long_one_was_that_has_left_makes_no_room() -> None:
    async with open_server(outbox_bytes=64 * 1024) as server:
        stream, recorder = await server.client()
        recorder.connection.tell_when_drained = True
        recorder.connection.write(b"b")
        # More than may wait, and the kernel takes it at once.
        recorder.connection.write(b"l" * 100_000)
        received = b""
        while len(received) < 100_001:
            received += await stream.receive_some()
        await recorder.wait_for("drained")
        for _ in range(7):
            recorder.connection.write(b"e" * 10_000)
        assert recorder.connection.outbox_bytes == 70_000
        recorder.connection.write(b"e" * 10_000)
        assert recorder.log[-1] == "lost"


class Looked(bytes):
    """Bytes that count how often it is asked how many they are."""

    times = 0

    def __len__(self) -> int:
        Looked.times += 1
        return super().__len__()


async def test_all_that_wait_are_not_looked_at_for_each_that_comes() -> None:
    async with open_server(outbox_bytes=64 * 1024) as server:
        _stream, recorder = await server.client()
        piece = Looked(b"e" * 10)
        Looked.times = 0
        for _ in range(3_000):
            recorder.connection.write(piece)
        recorder.connection.write(b"l" * 1_000_000)
        for _ in range(3_000):
            recorder.connection.write(piece)
        assert recorder.connection.outbox_bytes == 1_060_000
        # Each for itself, which takes three, and all that waited before once.
        assert Looked.times < 25_000
        recorder.connection.abort()


async def test_a_full_outbox_closes_its_connection_only() -> None:
    async with open_server(outbox_bytes=64 * 1024) as server:
        stream, recorder = await server.client()
        # More than the outbox and the kernel's own buffers hold together.
        for _ in range(500):
            recorder.connection.write(b"x" * 60_000)
        assert recorder.log[-1] == "lost"
        assert server.connections.statistics().slow_consumers == 1
        other, _ = await server.client()
        await other.send_all(b"ping")
        assert await other.receive_some() == b"ping"
        await stream.aclose()


async def test_a_peer_that_takes_nothing_is_gone_after_the_send_deadline() -> None:
    async with open_server(send_seconds=0.2, outbox_bytes=64 * 1024 * 1024) as server:
        _stream, recorder = await server.client()
        recorder.connection.write(b"x" * 20_000_000)
        assert server.connections.statistics().blocked == 1
        await recorder.wait_for("lost")
        assert server.connections.statistics().slow_consumers == 1
        assert server.connections.statistics().timers == 0


async def test_paused_reading_leaves_bytes_with_the_sender() -> None:
    async with open_server() as server:
        server.echo = False
        stream, recorder = await server.client()
        recorder.connection.pause_reading()
        with trio.move_on_after(0.3) as scope:
            while True:
                await stream.send_all(b"x" * 65536)
        assert scope.cancelled_caught
        assert recorder.received == b""
        recorder.connection.resume_reading()
        await recorder.wait_for("data")


async def test_close_sends_what_is_queued_first() -> None:
    async with open_server() as server:
        stream, recorder = await server.client()
        recorder.connection.write(b"x" * 3_000_000)
        recorder.connection.close()
        recorder.connection.write(b"never")
        assert await read_all(stream) == b"x" * 3_000_000
        await stream.aclose()
        await recorder.wait_for("lost")


async def test_a_last_word_survives_unread_input() -> None:
    """Closing a socket with unread input would reset it and destroy the response."""
    async with open_server() as server:
        server.echo = False
        stream, recorder = await server.client()
        recorder.connection.pause_reading()
        await stream.send_all(b"x" * 10_000)
        recorder.connection.write(b"goodbye")
        recorder.connection.close()
        assert await read_all(stream) == b"goodbye"


async def test_a_half_closed_peer_can_still_be_written_to() -> None:
    async with open_server() as server:
        stream, recorder = await server.client()
        recorder.keeps_open = True
        await stream.send_eof()
        await recorder.wait_for("eof")
        recorder.connection.write(b"late")
        recorder.connection.close()
        assert await read_all(stream) == b"late"
        await recorder.wait_for("lost")


async def test_what_is_queued_at_the_close_outlives_the_peers_end() -> None:
    """Who asks and sends no more still reads: its end may come before all has left."""
    async with open_server() as server:
        stream, recorder = await server.client()
        recorder.connection.write(b"x" * 8_000_000)
        recorder.connection.close()
        assert server.connections.statistics().blocked == 1
        before = server.connections.statistics().reads
        await stream.send_eof()
        while server.connections.statistics().reads == before:
            await trio.lowlevel.checkpoint()
        assert await read_all(stream) == b"x" * 8_000_000
        await recorder.wait_for("lost")
        # An end that is known is not read again and again while it waits.
        assert server.connections.statistics().reads - before == 1
        assert recorder.log == ["made", "lost"]


async def test_a_failing_protocol_ends_its_connection_only() -> None:
    async with open_server() as server:
        stream, recorder = await server.client()
        other, _ = await server.client()
        await stream.send_all(b"crash")
        await recorder.wait_for("lost")
        assert [str(error) for error in server.failures] == ["a defect in a protocol"]
        await other.send_all(b"ping")
        assert await other.receive_some() == b"ping"


async def test_a_failing_timer_ends_nothing() -> None:
    async with open_server() as server:
        fired = trio.Event()

        def fail() -> None:
            fired.set()
            raise RuntimeError("a defect in a timer")

        server.timers.arm(0.01, fail)
        await fired.wait()
        stream, _ = await server.client()
        await stream.send_all(b"ping")
        assert await stream.receive_some() == b"ping"
        assert len(server.failures) == 1


async def test_timers_that_have_no_end_leave_others_their_turn() -> None:
    async with open_server() as server:
        stream, _ = await server.client()
        served = False

        def again() -> None:
            if not served:
                server.timers.arm_now(again)

        server.timers.arm_now(again)
        await stream.send_all(b"ping")
        assert await stream.receive_some() == b"ping"
        served = True


@pytest.mark.parametrize("limit", ["maximum", "per_address"])
async def test_who_is_over_a_cap_is_told_and_turned_away(limit: str) -> None:
    limits: dict[str, Any] = {limit: 2}
    async with open_server(**limits) as server:
        kept = [await server.client() for _ in range(2)]
        refused = await server.connect()
        assert await read_all(refused) == b"refused"
        assert server.connections.statistics().refused == 1
        await kept[0][0].aclose()
        await kept[0][1].wait_for("lost")
        stream, _ = await server.client()
        await stream.send_all(b"welcome")
        assert await stream.receive_some() == b"welcome"


async def test_a_proxys_connections_are_counted_by_the_clients_that_it_names() -> None:
    async with open_server(per_address=2, is_proxy=lambda peer: peer == "127.0.0.1") as server:
        clients = [await server.client() for _ in range(4)]
        ends = [recorder.connection for _, recorder in clients]
        assert [each.name_peer("10.0.0.1") for each in ends[:3]] == [True, True, False]
        assert ends[2].peer == "10.0.0.1"
        assert ends[0].name_peer("10.0.0.1")
        assert server.connections.statistics().refused == 1
        # Who has left counts no more, whoever it was.
        await clients[0][0].aclose()
        await clients[0][1].wait_for("lost")
        await clients[2][0].aclose()
        await clients[2][1].wait_for("lost")
        assert ends[3].name_peer("10.0.0.1")
    assert len(server.connections._addresses) == 0


@pytest.mark.parametrize("limit", ["maximum", "per_address"])
async def test_who_asks_for_nothing_makes_room_in_turn(limit: str) -> None:
    limits: dict[str, Any] = {limit: 2}
    async with open_server(**limits) as server:
        server.idle = True
        clients = [await server.client() for _ in range(4)]
        for _, gone in clients[:2]:
            assert gone.log[-1] == "lost"
        for stream, _ in clients[2:]:
            await stream.send_all(b"welcome")
            assert await stream.receive_some() == b"welcome"
        state = server.connections.statistics()
        assert (state.made_room, state.refused, state.open) == (2, 0, 2)


async def test_who_is_at_work_or_stays_or_has_just_sent_something_makes_no_room() -> None:
    async with open_server(maximum=3) as server:
        server.idle = True
        _, busy = await server.client()
        busy.connection.is_idle = False
        _, staying = await server.client()
        staying.connection.stay()
        stream, sender = await server.client()
        sender.connection.pause_reading()
        await stream.send_all(b"unread")
        refused = await server.connect()
        assert await read_all(refused) == b"refused"
        assert "lost" not in busy.log + staying.log + sender.log
        # Once it is read there is nothing that speaks for it.
        sender.connection.resume_reading()
        assert await stream.receive_some() == b"unread"
        await server.client()
        assert sender.log[-1] == "lost"


async def test_who_was_read_before_a_newcomer_is_let_in_makes_no_room() -> None:
    async with open_server(maximum=1) as server:
        server.idle = True
        sender, _ = await server.client()
        # Both before the server has its turn.
        os.write(sender.socket.fileno(), b"unread")
        with socket.create_connection(server.address) as newcomer:
            assert await sender.receive_some() == b"unread"
            assert await trio.to_thread.run_sync(newcomer.recv, 100) == b"refused"


async def test_a_crowd_makes_room_out_of_a_bounded_number() -> None:
    """However many are at work, a newcomer costs so many looks."""
    async with open_server(maximum=161) as server:
        server.idle = True
        clients = [await server.client() for _ in range(161)]
        for _, busy in clients[:160]:
            busy.connection.is_idle = False
        # Two rounds of sixty-four find nobody; the third comes to the last.
        for _ in range(2):
            assert await read_all(await server.connect()) == b"refused"
        await server.client()
        assert clients[160][1].log[-1] == "lost"


@contextlib.contextmanager
def few_descriptors(spare: int) -> Iterator[None]:
    """Leave the process ``spare`` file descriptors, and put the limit back."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    probe = socket.socket()
    in_use = probe.fileno()
    probe.close()
    resource.setrlimit(resource.RLIMIT_NOFILE, (in_use + spare, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


async def test_out_of_descriptors_it_pauses_and_recovers_unaided() -> None:
    async with open_server(accept_pause_seconds=0.05) as server:
        clients = [socket.socket() for _ in range(4)]
        with few_descriptors(0):
            for client in clients:
                client.setblocking(False)
                with contextlib.suppress(BlockingIOError):
                    client.connect(server.address)
            while server.connections.statistics().accepting:
                await trio.lowlevel.checkpoint()
            assert server.protocols == []
        while len(server.protocols) < len(clients):
            await trio.lowlevel.checkpoint()
        assert server.connections.statistics().accepting
        for client in clients:
            client.close()


async def test_stop_listening_keeps_who_is_connected() -> None:
    async with open_server() as server:
        stream, _ = await server.client()
        server.connections.stop_listening()
        with pytest.raises(OSError, match="connect"):
            await trio.open_tcp_stream(*server.address)
        await stream.send_all(b"still here")
        assert await stream.receive_some() == b"still here"


async def test_cancelling_the_task_closes_every_connection() -> None:
    server = Server(Settings())
    async with trio.open_nursery() as nursery:
        await nursery.start(server.connections.run)
        stream, recorder = await server.client()
        nursery.cancel_scope.cancel()
    assert recorder.log[-1] == "lost"
    with contextlib.suppress(trio.BrokenResourceError):
        assert await stream.receive_some() == b""
    stream.socket.close()


async def test_a_stall_is_told_for_a_while_and_then_forgotten(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with open_server() as server:
        statistics = server.connections.statistics
        await trio.sleep(1)
        assert statistics().stall < 0.01
        # As if nothing had run for a third of a second.
        autojump_clock.jump(0.3)
        await trio.sleep(0.1)
        assert statistics().lag < 0.01
        assert statistics().stall == pytest.approx(0.3, abs=0.06)
        await trio.sleep(14)
        assert statistics().stall == pytest.approx(0.3, abs=0.06)
        await trio.sleep(30)
        assert statistics().stall < 0.01


async def test_a_busy_moment_leaves_trio_its_turn() -> None:
    """Many connections with slow work each: no turn goes on until all have been served."""
    async with open_server() as server:
        clients = [socket.create_connection(server.address) for _ in range(200)]
        while len(server.protocols) < len(clients):
            await trio.lowlevel.checkpoint()

        def slow(data: bytes) -> None:
            end = trio.current_time() + 0.001
            while trio.current_time() < end:
                pass

        turns = server.connections.statistics().turns
        for recorder, client in zip(server.protocols, clients, strict=True):
            recorder.data_received = slow  # type: ignore[method-assign]
            client.send(b"x")
        while server.connections.statistics().reads < len(clients):
            await trio.lowlevel.checkpoint()
        # 200 ms of work, in turns of 5 ms and what one poll may find, 64 ms at first.
        assert server.connections.statistics().turns - turns >= 8
        for client in clients:
            client.close()


async def test_who_was_read_when_a_turn_is_over_is_heard_in_the_next(
    mock_clock: trio.testing.MockClock,
) -> None:
    async with open_server() as server:
        server.connections.stopwatch = mock_clock.current_time
        clients = [socket.create_connection(server.address) for _ in range(200)]
        while len(server.protocols) < len(clients):
            await trio.lowlevel.checkpoint()
        seconds = 0.0
        served: collections.Counter[int] = collections.Counter()

        def take(data: bytes) -> None:
            mock_clock.jump(seconds)
            served[server.connections.turns] += 1

        for recorder in server.protocols:
            recorder.data_received = take  # type: ignore[method-assign]
        for each in (0.001, 0.0, 0.001):
            seconds = each
            served.clear()
            for client in clients:
                client.send(b"x")
            while served.total() < len(clients):
                await trio.lowlevel.checkpoint()
            if seconds:
                # Until 5 ms are over, looked at after each fourth.
                assert set(served.values()) == {8}
            else:
                assert len(served) == 1
        # Nobody spoke twice, and nobody was forgotten.
        assert {recorder.connection.received for recorder in server.protocols} == {b""}
        for client in clients:
            client.close()


async def test_they_are_not_all_gone_in_one_turn(mock_clock: trio.testing.MockClock) -> None:
    async with open_server() as server:
        server.connections.stopwatch = mock_clock.current_time
        clients = [socket.create_connection(server.address) for _ in range(200)]
        while len(server.protocols) < len(clients):
            await trio.lowlevel.checkpoint()
        gone: collections.Counter[int] = collections.Counter()

        def go() -> None:
            mock_clock.jump(0.001)
            gone[server.connections.turns] += 1

        for recorder in server.protocols:
            recorder.connection_lost = go  # type: ignore[method-assign]
        for client in clients:
            client.close()
        while gone.total() < len(clients):
            await trio.lowlevel.checkpoint()
        # Until 5 ms are over, looked at after each eighth.
        assert max(gone.values()) <= 8


class Watched:
    """A selector that remembers how long it was to wait each time."""

    def __init__(self, selector: Selector) -> None:
        self._selector = selector
        self.waits: list[float] = []

    def poll(self, seconds: float, limit: int) -> Sequence[tuple[int, int]]:
        self.waits.append(seconds)
        return self._selector.poll(seconds, limit)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._selector, name)


async def test_in_busy_times_a_turn_waits_for_more_unless_others_could_go_on(
    mock_clock: trio.testing.MockClock, nursery: trio.Nursery
) -> None:
    async with open_server() as server:
        server.connections.stopwatch = mock_clock.current_time
        client = socket.create_connection(server.address)
        while not server.protocols:
            await trio.lowlevel.checkpoint()
        await trio.testing.wait_all_tasks_blocked()
        watched = Watched(server.connections.selector)
        server.connections.selector = watched

        async def waits(take: Callable[[bytes], None], since: float) -> list[float]:
            server.protocols[0].data_received = take  # type: ignore[assignment,method-assign]
            mock_clock.jump(since)
            await trio.testing.wait_all_tasks_blocked()
            reads = server.connections.reads
            watched.waits.clear()
            client.send(b"x")
            while server.connections.reads == reads:
                await trio.testing.wait_all_tasks_blocked()
            return watched.waits

        woken = trio.Event()
        nursery.start_soon(woken.wait)
        assert await waits(lambda _data: None, since=0.0) == [0, 0, pytest.approx(0.001)]
        assert await waits(lambda _data: None, since=1.0) == [0, 0]
        assert await waits(lambda _data: woken.set(), since=0.0) == [0, 0]
        client.close()


async def pair(server: Server, recorder: list[Recorder], **more: int) -> socket.socket:
    """Have the server adopt one end of a connection, and return the other."""
    ours, theirs = socket.socketpair()

    def make(connection: Connection) -> Recorder:
        recorder.append(Recorder(connection, [], echo=False))
        return recorder[-1]

    server.connections.adopt(ours, make, outbox_bytes=more.get("outbox_bytes", 1 << 20))
    theirs.setblocking(False)
    return theirs


async def test_what_many_tasks_write_in_one_tick_leaves_in_one_send(
    mock_clock: trio.testing.MockClock,
) -> None:
    # A look at the timers between two of them would send what is there by then.
    del mock_clock
    async with open_server() as server:
        recorders: list[Recorder] = []
        peer = await pair(server, recorders)
        await trio.testing.wait_all_tasks_blocked()
        before = server.connections.statistics().sends

        async def write(number: int) -> None:
            recorders[0].connection.write(b"%02d " % number)

        async with trio.open_nursery() as nursery:
            for number in range(50):
                nursery.start_soon(write, number)
        await trio.testing.wait_all_tasks_blocked()
        received = peer.recv(1000)
        assert sorted(received.split()) == [b"%02d" % number for number in range(50)]
        assert server.connections.statistics().sends - before == 1
        recorders[0].connection.write(b"again")
        await trio.testing.wait_all_tasks_blocked()
        assert peer.recv(1000) == b"again"
        peer.close()


async def test_without_its_task_a_write_leaves_at_once() -> None:
    server = Server(Settings())
    recorders: list[Recorder] = []
    peer = await pair(server, recorders)
    recorders[0].connection.write(b"before")
    assert peer.recv(100) == b"before"
    async with trio.open_nursery() as nursery:
        await nursery.start(server.connections.run)
        nursery.cancel_scope.cancel()
    assert recorders[0].log[-1] == "lost"
    peer.close()


async def test_the_last_word_is_said_before_what_was_written_leaves() -> None:
    async with open_server() as server:
        recorders: list[Recorder] = []
        peer = await pair(server, recorders)
        write = recorders[0].connection.write
        await trio.testing.wait_all_tasks_blocked()
        before = server.connections.statistics().sends
        server.connections.before_flush(lambda: write(b"last"))
        write(b"first ")

        def fail() -> None:
            raise KeyError("a defect")

        server.connections.before_flush(fail)
        await trio.testing.wait_all_tasks_blocked()
        assert peer.recv(100) == b"first last"
        assert server.connections.statistics().sends - before == 1
        assert len(server.failures) == 1
        peer.close()


async def test_our_own_connections_are_outside_of_the_caps() -> None:
    async with open_server(maximum=1, per_address=1) as server:
        recorders: list[Recorder] = []
        peers = [await pair(server, recorders) for _ in range(3)]
        stream, _ = await server.client()
        await stream.send_all(b"welcome")
        assert await stream.receive_some() == b"welcome"
        statistics = server.connections.statistics()
        assert (statistics.open, statistics.ours, statistics.accepted) == (1, 3, 1)
        peers[0].send(b"hello")
        await recorders[0].wait_for("data")
        for peer in peers:
            peer.close()
        for recorder in recorders:
            await recorder.wait_for("eof")
            recorder.connection.abort()
        assert server.connections.statistics().ours == 0


async def test_an_adopted_connection_has_its_own_bound() -> None:
    async with open_server() as server:
        recorders: list[Recorder] = []
        peer = await pair(server, recorders, outbox_bytes=500_000)
        for _ in range(10):
            recorders[0].connection.write(b"x" * 400_000)
        assert recorders[0].log[-1] == "lost"
        assert server.connections.statistics().slow_consumers == 1
        peer.close()


async def test_a_socket_whose_protocol_cannot_be_made_is_closed() -> None:
    async with open_server() as server:
        ours, theirs = socket.socketpair()

        def fail(_: Connection) -> Recorder:
            raise KeyError("a defect")

        with pytest.raises(KeyError):
            server.connections.adopt(ours, fail, outbox_bytes=1000)
        assert theirs.recv(1) == b""
        assert server.connections.statistics().ours == 0
        theirs.close()
