"""The table of the configuration file about traces, see sections.py."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from omapush.config.keys import API, restart
from omapush.config.secret_files import first_line
from omapush.config.sections import Section


class Trace(Section, frozen=True):
    """What is kept of traced pushes, and where it is sent. `omapush trace` switches tracing on and off."""

    share: Annotated[float, Meta(ge=0, le=100)] = 0.0
    """Percentage of all pushes that are traced, chosen at random; `omapush trace on --share` overrides it."""
    content: bool = False
    """Also show the content in traces. If false, only its length is shown. Credentials are never shown."""
    keep_s: Annotated[int, Meta(ge=60, le=2_592_000)] = 86_400
    """How long the SIP messages of a traced push are kept in Redis, after the last of them."""
    most_messages: Annotated[int, Meta(ge=10, le=10_000)] = 200
    """How many messages of one push are kept; the oldest are dropped first."""
    most_per_s: Annotated[int, Meta(ge=1, le=10_000)] = 50
    """
    How many deliveries of the share each sender process begins to trace in a second; others are left out.
    Pushes and users that were named are always traced.
    """
    hep: str = ""
    """
    Capture server, such as Homer, that gets these messages as HEP3 over UDP: `192.0.2.9:9060`. Empty:
    none.
    """
    otlp: Annotated[str, restart(API)] = ""
    """
    OpenTelemetry collector that gets the spans of traced pushes as OTLP over HTTP:
    `http://192.0.2.9:4318`, to which `/v1/traces` is added. Empty: none. Headers that it needs are taken
    from OTEL_EXPORTER_OTLP_HEADERS.
    """
    follow: bool = True
    """Also make spans for pushes that their initiator traces: `traceparent` with the sampled flag."""
    hep_agent: Annotated[int, Meta(ge=0, le=4_294_967_295)] = 2_001
    """Number of this node at the capture server."""
    hep_key_file: str = ""
    """File whose first line is the key that the capture server asks its agents for, if any."""

    @property
    def hep_key(self) -> str:
        """The key for the capture server; empty: none."""
        if not self.hep_key_file:
            return ""
        return first_line(self.hep_key_file, "trace.hep_key_file")

    @property
    def hep_address(self) -> tuple[str, int] | None:
        """Where HEP packets go; None: nowhere."""
        host, _, port = self.hep.rpartition(":")
        return (host.removeprefix("[").removesuffix("]"), int(port)) if host else None
