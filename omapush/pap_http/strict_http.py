"""
What HTTP/1.1 has a server refuse, and the library lets pass (RFC 9110, RFC 9112).

What stands before the server, such as a proxy of the operator, must never understand a request differently:
for which host it is, from whom, where it ends. And a client that asks to change to HTTP/2, as Java's does
with every request, is served as if it had not asked.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final, NamedTuple

import httptools

from omapush.pap_http.shedding import SheddingConnection

_VERSIONS: Final = ("1.0", "1.1")
_ONCE: Final = (b"host", b"transfer-encoding", b"content-type", b"authorization")
"Fields with one value, of which others may have read another one than we (RFC 9110 5.3)."
# uri-host [":" port], or nothing                           RFC 9110 7.2, RFC 3986 3.2.2
_HOST: Final = re.compile(
    rb"(?:\[[0-9A-Fa-f:.]+\]|(?:[A-Za-z0-9\-._~!$&'()*+,;=]|%[0-9A-Fa-f]{2})*)(?::[0-9]*)?"
)
# absolute-form without a path, and its query                                      RFC 9112 3.2.2
_NO_PATH: Final = re.compile(rb"([A-Za-z][A-Za-z0-9+.\-]*://[^/?#]+)((?:[?#].*)?)", re.DOTALL)
_CONNECT: Final = b"CONNECT"
_OF_UPGRADE: Final = frozenset({b"upgrade", b"http2-settings"})


def _with_path(target: bytes) -> bytes:
    """A target in absolute form whose path is empty, with the path that this means (RFC 9110 4.2.3)."""
    found = _NO_PATH.fullmatch(target)
    return target if found is None else found[1] + b"/" + found[2]


@lru_cache(maxsize=256)
def _is_host(value: bytes) -> bool:
    return _HOST.fullmatch(value) is not None


class Refusal(NamedTuple):
    """Why a request is not read to its end."""

    status: int
    why: str


_BROKEN: Final = Refusal(400, "Invalid HTTP request received.")


class StrictConnection(SheddingConnection):
    """Reads requests as the standard has them read."""

    refusal = _BROKEN
    "Why the current request is not read to its end, should that happen."
    is_headed = False
    "Whether the head of the current request has come to its end: what comes now as a field is a trailer."
    _is_read_again = False
    "Whether the head of the current request is given to a new parser, without the wish to upgrade."

    def data_received(self, data: bytes) -> None:
        """Take what has come."""
        self._unset_keepalive_if_required()
        rest = data
        while rest:
            try:
                self.parser.feed_data(rest)
                rest = b""
            except httptools.HttpParserUpgrade as upgrade:
                rest = self._begun_again() + rest[upgrade.args[0] :]
            except httptools.HttpParserError:
                self.send_400_response(self.refusal.why)
                rest = b""

    def _begun_again(self) -> bytes:
        """Have a new parser; return what it is to be given first."""
        self._is_read_again = False
        head = self._head_without_upgrade()
        self.parser = httptools.HttpRequestParser(self)
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)  # as the library has it
        return head

    def on_message_begin(self) -> None:
        """Begin a request."""
        self.refusal, self.is_headed = _BROKEN, False
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """Refuse what is wrong, and begin to answer the rest."""
        self.is_headed = True
        if self.url[:1] != b"/":
            self.url = _with_path(self.url)
        wrong = self._wrong()
        if wrong is not None:
            self.refuse(*wrong)
        if self.parser.should_upgrade():
            if self.parser.get_method() == _CONNECT:
                self.refuse(501, "CONNECT: this is no proxy")
            self._is_read_again = True
            return
        super().on_headers_complete()
        if self.expect_100_continue and not self.keeps_back:
            self._close_unless_read()

    def on_message_complete(self) -> None:
        """End a request."""
        if not self._is_read_again:
            super().on_message_complete()

    def refuse(self, status: int, why: str) -> None:
        """End the reading of the current request; to be called within it."""
        self.refusal = Refusal(status, why)
        raise ValueError(why)  # the parser turns it into a call of send_400_response

    def _wrong(self) -> Refusal | None:
        version = self.parser.get_http_version()
        if version not in _VERSIONS:
            return Refusal(505, "the version of HTTP has to be 1.1 or 1.0")
        fields = dict(self.headers)
        if len(fields) < len(self.headers):
            names = [name for name, _ in self.headers]
            for name in _ONCE:
                if names.count(name) > 1:
                    return Refusal(400, f"{name.decode().title()}: comes twice")
        host, coding = fields.get(b"host"), fields.get(b"transfer-encoding")
        if host is None and version == "1.1":
            return Refusal(400, "Host: missing")
        if host is not None and not _is_host(host):
            return Refusal(400, "Host: is no host")
        if coding is not None and coding.strip().lower() != b"chunked":
            return Refusal(501, "Transfer-Encoding: chunked alone is taken")
        return None

    def _head_without_upgrade(self) -> bytes:
        """The head that was read, as if there had been no wish to change the protocol (RFC 9110 7.8)."""
        version = self.parser.get_http_version().encode()
        lines = [b"%b %b HTTP/%b" % (self.parser.get_method(), self.url, version)]
        for name, value in self.headers:
            if name == b"connection":
                options = (one.strip() for one in value.split(b","))
                value = b", ".join(one for one in options if one.lower() not in _OF_UPGRADE)
            if name not in _OF_UPGRADE and (value or name != b"connection"):
                lines.append(b"%b: %b" % (name, value))
        return b"\r\n".join([*lines, b"", b""])

    def _close_unless_read(self) -> None:
        """
        Have the answer end the connection unless the body was asked for before it.

        Its sender will not send the body then, and what it sends next must not be taken for that.
        """
        cycle = self.cycle
        keeps, receive = cycle.keep_alive, cycle.receive
        cycle.keep_alive = False

        async def asked_for() -> object:
            cycle.keep_alive = keeps
            return await receive()

        cycle.receive = asked_for  # type: ignore[method-assign, assignment]
