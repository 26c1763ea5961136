"""Where Redis is, and how it is spoken to, as a URL says it.

Pure module: it connects to nothing and reads no file; the paths of certificates are
for `session.redis.tls`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Final
from urllib.parse import parse_qsl, unquote

_PORT: Final = 6379
_PORTS: Final = range(1, 65_536)
_SCHEMES: Final = {
    "redis": (False, False),
    "rediss": (False, True),
    "redis+cluster": (True, False),
    "rediss+cluster": (True, True),
}
_USAGE: Final = (
    "write redis://host:6379/0, or redis+cluster://host1:7000,host2:7000; "
    "rediss:// and rediss+cluster:// with TLS; user:password@ goes before the first host"
)

Place = tuple[str, int]


@dataclasses.dataclass(frozen=True, slots=True)
class Tls:
    """How the server is known, and who we are. The names are those of redis-py's URLs."""

    ca_certs: str = ""
    certfile: str = ""
    keyfile: str = ""
    check_hostname: bool = True
    verify: bool = True


@dataclasses.dataclass(frozen=True, slots=True)
class Address:
    """A server, or some of a cluster's, and how to log in."""

    seeds: tuple[Place, ...]
    cluster: bool = False
    tls: Tls | None = None
    user: str = ""
    password: str = dataclasses.field(default="", repr=False)
    db: int = 0

    def __str__(self) -> str:
        """Return it as a URL, without what is secret."""
        scheme = ("rediss" if self.tls else "redis") + ("+cluster" if self.cluster else "")
        user = f"{self.user}@" if self.user else ""
        places = ",".join(name_of(place) for place in self.seeds)
        return f"{scheme}://{user}{places}/{self.db}"


def name_of(place: Place) -> str:
    """Return a host and port as people write them."""
    host, port = place
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def parse_address(url: str) -> Address:
    """Return what a URL says.

    Raises:
        ValueError: it says nothing that we understand; the message never has the password.
    """
    scheme, separator, rest = url.partition("://")
    if not separator:
        # It may be a password that got into the wrong place: it is not repeated.
        raise ValueError(f"this is no URL: {_USAGE}")
    if scheme not in _SCHEMES:
        raise ValueError(f"{scheme[:20]!r} is no kind of Redis URL: {_USAGE}")
    cluster, with_tls = _SCHEMES[scheme]
    # Not with urlsplit: it knows of no list of hosts, and its errors may have passwords.
    rest, _, query = rest.partition("?")
    netloc, _, path = rest.partition("/")
    if "@" in path or "@" in query:
        raise ValueError("write / and ? in a user or password as %2F and %3F")
    login, _, places = netloc.rpartition("@")
    user, _, password = login.partition(":")
    seeds = tuple(_place(each) for each in places.split(","))
    if len(seeds) > 1 and not cluster:
        raise ValueError(f"several hosts are a cluster: write {scheme}+cluster://...")
    tls, options = _tls(dict(parse_qsl(query, keep_blank_values=True)))
    if options:
        raise ValueError(f"unknown option {min(options)!r} in a Redis URL")
    if tls != Tls() and not with_tls:
        raise ValueError("options of TLS need rediss:// or rediss+cluster://")
    return Address(
        seeds=seeds,
        cluster=cluster,
        tls=tls if with_tls else None,
        user=unquote(user),
        password=unquote(password),
        db=_db(path, cluster=cluster),
    )


def _place(text: str) -> Place:
    host, port = text, ""
    if text.startswith("["):
        host, bracket, port = text[1:].partition("]")
        if not bracket or (port and not port.startswith(":")):
            raise ValueError(f"{text!r} is no host: {_USAGE}")
        port = port[1:]
    elif ":" in text:
        host, _, port = text.rpartition(":")
    if not host or (":" in host and not text.startswith("[")):
        raise ValueError(f"{text!r} is no host: {_USAGE}")
    if not port:
        return host, _PORT
    if not port.isdecimal() or int(port) not in _PORTS:
        raise ValueError(f"{port!r} is no port: it is a number from 1 to 65535")
    return host, int(port)


def _db(path: str, *, cluster: bool) -> int:
    number = path.strip("/")
    if not number:
        return 0
    if not number.isdecimal():
        raise ValueError(f"{number!r} is no database: it is a number, as in redis://host:6379/0")
    if cluster and int(number):
        raise ValueError("a cluster has database 0 only")
    return int(number)


def _tls(options: Mapping[str, str]) -> tuple[Tls, set[str]]:
    """Return what options say of TLS, and those that say nothing."""
    required = options.get("ssl_cert_reqs", "required")
    if required not in ("required", "none"):
        raise ValueError("ssl_cert_reqs is either required or none")
    check = options.get("ssl_check_hostname", "true").lower()
    if check not in ("true", "false"):
        raise ValueError("ssl_check_hostname is either true or false")
    known = {
        "ssl_ca_certs",
        "ssl_certfile",
        "ssl_keyfile",
        "ssl_cert_reqs",
        "ssl_check_hostname",
    }
    tls = Tls(
        ca_certs=options.get("ssl_ca_certs", ""),
        certfile=options.get("ssl_certfile", ""),
        keyfile=options.get("ssl_keyfile", ""),
        check_hostname=check == "true" and required == "required",
        verify=required == "required",
    )
    return tls, set(options) - known
