"""The table of the configuration file about traces, see sections.py."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from msgspec import Meta

from omapush.config.keys import API, restart
from omapush.config.sections import Section


class Trace(Section, frozen=True):
    """What is kept of pushes that are traced, and where it goes. `omapush trace` switches while all runs."""

    share: Annotated[float, Meta(ge=0, le=100)] = 0.0
    """Percentage of all pushes that is traced, by chance, until `omapush trace on --share` says else."""
    content: bool = False
    """Show contents in traces as well; false: only how long they are. Credentials are never shown."""
    keep_s: Annotated[int, Meta(ge=60, le=2_592_000)] = 86_400
    """How long the SIP messages of a traced push are kept in Redis after the last of them."""
    most_messages: Annotated[int, Meta(ge=10, le=10_000)] = 200
    """How many messages of one push are kept; older ones go first."""
    most_per_s: Annotated[int, Meta(ge=1, le=10_000)] = 50
    """
    How many deliveries of the share each sender process begins to trace a second; others are left out. Pushes
    and users that were named are always traced.
    """
    hep: str = ""
    """Capture server such as Homer that gets these messages, HEP3 over UDP: `192.0.2.9:9060`; empty: none."""
    otlp: Annotated[str, restart(API)] = ""
    """
    OpenTelemetry collector that gets spans of traced pushes, OTLP over HTTP: `http://192.0.2.9:4318`, to
    which `/v1/traces` is added; empty: none. What it asks for in headers is in OTEL_EXPORTER_OTLP_HEADERS.
    """
    follow: bool = True
    """Make spans as well for pushes whose initiator traces them: `traceparent` with the sampled flag."""
    hep_agent: Annotated[int, Meta(ge=0, le=4_294_967_295)] = 2_001
    """Number by which the capture server knows this node."""
    hep_key_file: str = ""
    """File whose first line the capture server knows its agents by, if it asks for that."""

    @property
    def hep_key(self) -> str:
        """The key for the capture server; empty: none."""
        if not self.hep_key_file:
            return ""
        return Path(self.hep_key_file).read_text(encoding="utf-8").partition("\n")[0].strip()

    @property
    def hep_address(self) -> tuple[str, int] | None:
        """Where HEP packets go; None: nowhere."""
        host, _, port = self.hep.rpartition(":")
        return (host.removeprefix("[").removesuffix("]"), int(port)) if host else None
