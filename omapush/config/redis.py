"""The table of the configuration file about Redis, see sections.py."""

from __future__ import annotations

import re
from typing import Annotated, Any, Final

from msgspec import Meta

from omapush.config import redis_url
from omapush.config.keys import restart
from omapush.config.redis_url import RedisUrl
from omapush.config.secret_files import first_line
from omapush.config.sections import Milliseconds, Section

_PASSWORD: Final = re.compile(r"(?<=://)([^/:@]*):[^/]*@")
Shards = Annotated[int, Meta(ge=1, le=1024)]
_TLS_FILES: Final = {
    "trusted_certificates": "ssl_ca_certs",
    "certificate": "ssl_certfile",
    "private_key": "ssl_keyfile",
}
"Our keys about TLS, and what the client library calls them."


class RedisSection(Section, frozen=True):
    """Where all state lives."""

    url: Annotated[str, restart("all")] = "unix:///tmp/omapush/redis.sock"
    """
    `unix:///path`, `redis://host:port/0`, or `rediss://psa@host:port/0` for TLS and a user. With
    Sentinels: `redis+sentinel://host:port,host:port/NAME`, where NAME is the name of the master. A
    Cluster: `redis+cluster://host:port,host:port` with some of its nodes. Both take `rediss+` for TLS.
    """
    password_file: Annotated[str, restart("all")] = ""
    """
    File whose first line is the password of that user. So the password is neither in this file nor in the
    log.
    """
    sentinel_password_file: Annotated[str, restart("all")] = ""
    """File whose first line is the password of the Sentinels, if they ask for one."""
    trusted_certificates: Annotated[str, restart("all")] = ""
    """With `rediss://`: PEM file with the CAs of the certificate of Redis. Empty: those of the system."""
    certificate: Annotated[str, restart("all")] = ""
    """With `rediss://`: PEM file with our own certificate, if Redis asks for one."""
    private_key: Annotated[str, restart("all")] = ""
    """PEM file with its private key."""
    timeout_ms: Annotated[Milliseconds, restart("all")] = 1_000
    """
    Longest wait for one answer. After that the peer gets 503 with Retry-After, and accepted work is kept.
    """
    replica_wait_ms: Annotated[int, Meta(ge=0, le=1_000), restart("all")] = 100
    """
    With Sentinels or a Cluster: how long to wait, before a push is answered as accepted, until one
    replica has it too, so that it survives the loss of the master. 0: no wait. It must be smaller than
    `timeout_ms`.
    """
    user_shards: Annotated[Shards, restart("all")] = 16
    """Number of slots that users are spread over. It must not change once there is data."""
    push_shards: Annotated[Shards, restart("all")] = 16
    """Number of slots that pushes are spread over. It must not change once there is data."""
    content_keys: Annotated[tuple[str, ...], restart("all")] = ()
    """
    Files with one key each, of 32 bytes or 64 hexadecimal digits. Content is encrypted in Redis with the
    first key, and can be read with any of them. Empty: content is not encrypted.
    """

    @property
    def place(self) -> RedisUrl:
        """The URL, taken apart; it was checked at the start."""
        return redis_url.parse(self.url)

    def sentinel_password(self) -> str:
        """
        Return the password of the Sentinels; empty when they ask for none.

        Raises:
            BadConfiguration: its file cannot be read or is empty.
        """
        file = self.sentinel_password_file
        return first_line(file, "redis.sentinel_password_file") if file else ""

    @property
    def shown(self) -> str:
        """The URL without the password that it may have, for people and logs."""
        return _PASSWORD.sub(r"\1@", self.url)

    def access(self) -> dict[str, Any]:
        """
        Return what the client library takes besides the URL: password and TLS.

        Raises:
            BadConfiguration: the password file cannot be read or is empty.
        """
        words = {theirs: getattr(self, ours) for ours, theirs in _TLS_FILES.items() if getattr(self, ours)}
        if self.password_file:
            words["password"] = first_line(self.password_file, "redis.password_file")
        return words

    def __repr__(self) -> str:
        return f"RedisSection(url={self.shown})"
