"""What `redis.url` may look like: one server, Sentinels that know the master, or some nodes of a Cluster."""

from __future__ import annotations

from typing import Final, Literal, NamedTuple
from urllib.parse import parse_qsl, unquote, urlsplit

from omapush.errors import shortened

Kind = Literal["one", "sentinel", "cluster"]
_SCHEMES: Final[dict[str, tuple[Kind, bool]]] = {
    "unix": ("one", False),
    "redis": ("one", False),
    "rediss": ("one", True),
    "redis+sentinel": ("sentinel", False),
    "rediss+sentinel": ("sentinel", True),
    "redis+cluster": ("cluster", False),
    "rediss+cluster": ("cluster", True),
}
_PORTS: Final[dict[Kind, int]] = {"one": 6379, "sentinel": 26379, "cluster": 6379}
_OPTIONS: Final = frozenset({"db", "username", "password", "client_name", "health_check_interval"})
"What may follow the question mark in the URL of one server, and what begins with `ssl_`."
LONGEST_SOCKET: Final = 107
"Bytes that Linux takes for the path of a unix socket (sun_path, with its end)."
_MOST_DIGITS: Final = 9
FORMS: Final = (
    "unix:///path, redis://host:port/0, redis+sentinel://host:port,host:port/NAME, "
    "redis+cluster://host:port,host:port, or with rediss for TLS"
)


class RedisUrl(NamedTuple):
    """The URL, taken apart."""

    kind: Kind
    tls: bool
    nodes: tuple[tuple[str, int], ...]
    "Sentinels, or nodes of the Cluster; of one server the URL itself says it."
    user: str
    password: str
    service: str
    "Name by which Sentinels know the master."
    database: int


def parse(url: str) -> RedisUrl:
    """
    Return what the URL says.

    Raises:
        ValueError: it has none of the forms; the text says what is wrong.
    """
    scheme, _, rest = url.partition("://")
    if scheme not in _SCHEMES:
        raise ValueError(f"scheme is not known; right would be {FORMS}")
    kind, tls = _SCHEMES[scheme]
    if kind == "one":
        _check_one(scheme, url)
        return RedisUrl(kind, tls, (), "", "", "", 0)
    place, _, path = rest.partition("/")
    access, _, hosts = place.rpartition("@")
    user, _, password = access.partition(":")
    nodes = tuple(_node(text, _PORTS[kind]) for text in hosts.split(","))
    service, _, database = path.strip("/").partition("/")
    if kind == "cluster" and (service or database):
        raise ValueError(
            "a Cluster has neither a name nor a number of a database; leave out what follows the hosts"
        )
    if kind == "sentinel" and not service:
        raise ValueError("the name of the master is missing behind the Sentinels: .../mymaster")
    if database and not _is_number(database):
        raise ValueError(f"{shortened(database)} is no number of a database")
    return RedisUrl(kind, tls, nodes, unquote(user), unquote(password), unquote(service), int(database or 0))


def _is_number(text: str) -> bool:
    """Digits of ASCII alone, and not so many that Python counts for long."""
    return text.isascii() and text.isdecimal() and len(text) <= _MOST_DIGITS


def _node(text: str, default: int) -> tuple[str, int]:
    host, colon, port = text.rpartition(":")
    if not colon or "]" in port:
        host, port = text, str(default)
    if not host.strip("[]") or not _is_number(port) or not 0 < int(port) < 65_536:
        raise ValueError(f"{shortened(text) or 'nothing'} is no host:port")
    return host.strip("[]"), int(port)


def _check_one(scheme: str, url: str) -> None:
    """Raise ValueError for what the client library would stumble over when it connects."""
    parts = urlsplit(url)
    for name, value in parse_qsl(parts.query, keep_blank_values=True):
        if not (name in _OPTIONS or name.startswith("ssl_")):
            raise ValueError(f"{shortened(name)} is not known; known are {', '.join(sorted(_OPTIONS))}")
        if name == "db" and not _is_number(value):
            raise ValueError(f"{shortened(value)} is no number of a database")
    if scheme == "unix":
        if not parts.path.startswith("/") or parts.netloc.rpartition("@")[2]:
            raise ValueError("a path begins with /; right would be unix:///tmp/omapush/redis.sock")
        if len(parts.path.encode()) > LONGEST_SOCKET:
            raise ValueError(f"the path has more than {LONGEST_SOCKET} bytes, all that a socket's may have")
        return
    _node(parts.netloc.rpartition("@")[2], _PORTS["one"])
    database = parts.path.strip("/")
    if database and not _is_number(database):
        raise ValueError(f"{shortened(database)} is no number of a database; right would be /0")
