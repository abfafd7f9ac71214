"""The table of the configuration file about an application behind this server, see sections.py."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta

from omapush.config.application import Retry
from omapush.config.sections import Count, Section


class Hosted(Section, frozen=True):
    """One push application hosted behind this server: `[hosted."mms.ua"]`."""

    recipients: tuple[str, ...] = ("*",)
    """Whose pushes it takes: shell patterns for the address of record of the Request-URI."""
    request_uris: tuple[str, ...] = ()
    """MESSAGEs to these addresses of record (shell patterns) are for it, even without a feature tag."""
    senders: tuple[str, ...] = ()
    """
    Who may push to it: shell patterns for P-Asserted-Identity. Empty: every identity that the core
    asserts.
    """
    content_types: tuple[str, ...] = ()
    """MIME types that it takes (shell patterns); others are refused with 415. Empty: all."""
    max_bytes: Annotated[int, Meta(ge=1, le=1_048_576)] = 65_536
    """
    Largest content in bytes, after decompression; larger content is refused with 413. A MESSAGE itself
    carries at most 48 KB.
    """
    backend: str = "stream"
    """`http://` or `https://` URL that pushes are posted to, or `stream` to leave them in Redis streams."""
    answer: Literal["stored", "backend"] = "stored"
    """When the sender is answered: when the push is `stored`, or when the `backend` has answered."""
    answer_within_s: Annotated[float, Meta(ge=0.1, le=20)] = 2.0
    """
    With `backend`: how long the answer of the back end is awaited. After that the sender gets 200, and
    the push is sent to the back end until that accepts it.
    """
    timeout_s: Annotated[float, Meta(gt=0, le=60)] = 5.0
    """Longest wait for the complete answer of the back end."""
    retry: Retry = Retry(attempts=20, first_s=1.0, longest_s=300.0)
    """When a push that the back end has not accepted is sent to it again."""
    max_waiting: Count = 100_000
    """Pushes that may wait for it, spread over `redis.user_shards`; beyond that, senders get 503."""
    remember_s: Annotated[int, Meta(ge=60, le=2_592_000)] = 86_400
    """How long a push is remembered, so that a repetition of it is not delivered again."""
    subscribe: tuple[str, ...] = ()
    """
    SIP URIs of senders that the server subscribes to for this application (`ua-profile`). Pushes in their
    NOTIFYs are handed to the back end like those in a MESSAGE.
    """
    identity: str = ""
    """
    Public service identity that subscribes, and that is the recipient of pushes in NOTIFYs. Empty:
    `sip.uri`.
    """
    subscribe_s: Annotated[int, Meta(ge=60, le=2_419_200)] = 3_600
    """Duration that is asked for. A refused SUBSCRIBE is tried again as `[registration]` says."""

    @property
    def is_stream(self) -> bool:
        """Tell whether pushes are left in Redis streams."""
        return self.backend == "stream"

    @property
    def events(self) -> tuple[str, ...]:
        """Event values that mean it: none, a MESSAGE has no Event."""
        return ()
