"""How a link comes to be: connect, encrypt, introduce, and judge who answers."""

from __future__ import annotations

import socket
import ssl
from typing import Any, Final, final

import hiredis
import trio
from redis.exceptions import RedisError

from pool.connection import Connection
from pool.connections import Connections
from session.errors import StoreUnavailableError
from session.redis import troubles
from session.redis.address import Address, Place, name_of
from session.redis.commands import INTERNAL, Command, pack
from session.redis.link import Link, LinkOwner
from session.redis.password import PasswordFileError, password_in
from session.redis.replies import meaning_of
from session.redis.settings import Settings
from session.redis.tls import TlsSession
from session.redis.troubles import Trouble

_OLDEST: Final = (7, 0)
_TRACKING: Final = (b"CLIENT", b"TRACKING", b"ON", b"OPTIN", b"NOLOOP")


class LinkError(Exception):
    """There is no link; the message says what to do.

    ``is_permanent``: trying again changes nothing, a person has to.
    """

    def __init__(self, message: str, *, is_permanent: bool = False) -> None:
        super().__init__(message)
        self.is_permanent = is_permanent


# What may go wrong on the way; a link that ends fails its commands with the last one.
_EXPECTED: Final = (LinkError, OSError, RedisError, trio.TooSlowError, StoreUnavailableError)


def internal(*words: bytes | str | int) -> Command:
    """Return a command of the client's own: its errors are for who awaits it."""
    return Command(INTERNAL, pack(words), -1, 0.0)


@final
class Connector:
    """Opens links, all in the same way."""

    def __init__(
        self,
        address: Address,
        settings: Settings,
        connections: Connections,
        name: str,
        context: ssl.SSLContext | None,
    ) -> None:
        self._address = address
        self._settings = settings
        self._connections = connections
        self._name = name
        self._context = context

    async def open_link(
        self, place: Place, host: str, owner: LinkOwner, node: object, *, tracking: bool
    ) -> Link:
        """Return a link that may be used, to ``place``; ``host`` is in its certificate.

        Cancelling it leaves nothing open.

        Raises:
            LinkError: there is none; the message says what to do.
        """
        link: Link | None = None
        is_ready = False
        try:
            with trio.fail_after(self._settings.connect_seconds):
                stream = await trio.open_tcp_stream(*place)
                link = self._adopt(stream, owner, node, host)
                await self._introduce(link, tracking=tracking)
            is_ready = True
        except _EXPECTED as error:
            raise self._judged(place, link, error) from error
        finally:
            if link is not None and not is_ready:
                link.end()
        return link

    def _adopt(self, stream: trio.SocketStream, owner: LinkOwner, node: object, host: str) -> Link:
        bounds = (
            self._settings.in_flight,
            self._settings.in_flight_bytes,
            self._settings.wait_seconds,
        )
        made: list[Link] = []

        def make(connection: Connection) -> Link:
            made.append(Link(connection, self._connections, owner, node, bounds))
            return made[0]

        connection = self._connections.adopt(
            socket.socket(fileno=stream.socket.detach()),
            make,
            # What is in flight is bounded, so this is never reached by commands alone.
            outbox_bytes=2 * self._settings.in_flight_bytes + (1 << 20),
        )
        link = made[0]
        if self._context is not None:
            link.tls = TlsSession(self._context, host, connection, self._connections)
            link.tls.begin()
        return link

    async def _introduce(self, link: Link, *, tracking: bool) -> None:
        words: list[bytes | str] = [b"HELLO", b"3"]
        password = await self._password()
        if password:
            words += [b"AUTH", self._address.user or b"default", password]
        words += [b"SETNAME", self._name]
        hello = internal(*words)
        link.send(hello)
        self._judge_server(await hello)
        commands = [internal(*_TRACKING)] if tracking else []
        if self._address.db:
            commands.append(internal(b"SELECT", self._address.db))
        for command in commands:
            link.send(command)
        for command in commands:
            await command

    async def _password(self) -> str:
        """Return the password as it is now: a file may have another one than before."""
        file = self._settings.password_file
        if not file:
            return self._address.password
        try:
            return await trio.to_thread.run_sync(password_in, file)
        except PasswordFileError as error:
            raise LinkError(str(error)) from None

    def _judge_server(self, hello: dict[bytes, Any]) -> None:
        version = str(hello[b"version"].decode())
        numbers = tuple(int(part) for part in version.split(".")[:2] if part.isdecimal())
        if numbers < _OLDEST:
            raise LinkError(troubles.too_old(version), is_permanent=True)
        is_cluster = hello[b"mode"] == b"cluster"
        if is_cluster and not self._address.cluster:
            raise LinkError(troubles.IS_OF_CLUSTER, is_permanent=True)
        if self._address.cluster and not is_cluster:
            raise LinkError(troubles.IS_NOT_OF_CLUSTER, is_permanent=True)

    def _judged(self, place: Place, link: Link | None, error: Exception) -> LinkError:
        """Return what an error on the way means for people."""
        where = f"Redis at {name_of(place)}"
        if isinstance(error, LinkError):
            return LinkError(f"{where}: {error}", is_permanent=error.is_permanent)
        said, is_permanent = self._trouble(where, link, error)
        return LinkError(said, is_permanent=is_permanent)

    def _trouble(self, where: str, link: Link | None, error: Exception) -> Trouble:
        trouble = link.trouble if link is not None else None
        for found in (error, trouble):
            if isinstance(found, (ssl.SSLError, hiredis.ProtocolError)):
                return troubles.not_understood(where, found)
        if isinstance(error, RedisError):
            return troubles.refusal(where, error, self._address)
        if isinstance(error, trio.TooSlowError):
            return troubles.silent(where, has_tls=self._context is not None)
        if isinstance(error, OSError):
            return troubles.unreached(where, error)
        return troubles.closed(where)

    def meaning_of(self, text: str) -> str:
        """Return what an error means that a node answered a command of ours with."""
        return meaning_of(text, self._address.user)
