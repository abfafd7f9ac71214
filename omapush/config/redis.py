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
    `unix:///path`, `redis://host:port/0`, or `rediss://psa@host:port/0`: TLS, and a user. With Sentinels
    `redis+sentinel://host:port,host:port/NAME`, where NAME is the master's; a Cluster is
    `redis+cluster://host:port,host:port`, some of its nodes. `rediss+` for both with TLS.
    """
    password_file: Annotated[str, restart("all")] = ""
    """File whose first line is the password of that user, which so stays out of this file and of the log."""
    sentinel_password_file: Annotated[str, restart("all")] = ""
    """File whose first line is the password of the Sentinels, where they ask for one."""
    trusted_certificates: Annotated[str, restart("all")] = ""
    """With `rediss://`, PEM file with the CAs of the certificate of Redis; empty: those of the system."""
    certificate: Annotated[str, restart("all")] = ""
    """With `rediss://`, PEM file with our own certificate, where Redis asks for one."""
    private_key: Annotated[str, restart("all")] = ""
    """PEM file with its private key."""
    timeout_ms: Annotated[Milliseconds, restart("all")] = 1_000
    """Longest wait for one answer; on expiry the peer gets 503 with Retry-After and the work is kept."""
    replica_wait_ms: Annotated[int, Meta(ge=0, le=1_000), restart("all")] = 100
    """
    With Sentinels or a Cluster: longest wait, before a push is answered as accepted, for one replica to have
    it, too, so that it outlives its master; 0: no wait. Smaller than `timeout_ms`.
    """
    user_shards: Annotated[Shards, restart("all")] = 16
    """Slots that users are spread over. Fixed once there is data."""
    push_shards: Annotated[Shards, restart("all")] = 16
    """Slots that pushes are spread over. Fixed once there is data."""
    content_keys: Annotated[tuple[str, ...], restart("all")] = ()
    """
    Files with a key each, of 32 bytes or 64 hexadecimal digits: contents are encrypted in Redis with the
    first, and read with any of them. Empty: they are there as they came.
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
