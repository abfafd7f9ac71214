"""Counters and histograms that all SIP processes share through Kamailio's xhttp_prom."""

from __future__ import annotations

from collections import Counter
from functools import lru_cache

import KSR

# fmt: off
_METHODS = frozenset((
    "ACK", "BYE", "CANCEL", "INFO", "INVITE", "MESSAGE", "NOTIFY", "OPTIONS", "PRACK", "PUBLISH", "REFER",
    "REGISTER", "SUBSCRIBE", "UPDATE",
))
# fmt: on
_OTHER = "other"


class Counts:
    """Counts of one batch, added up here first, so that a batch costs one call for each label."""

    def __init__(self) -> None:
        self._counts: Counter[tuple[str, ...]] = Counter()

    def add(self, name: str, *labels: str) -> None:
        """Count one more `name` with these labels."""
        self._counts[(name, *labels)] += 1

    def flush(self) -> None:
        """Give the counts to Kamailio and start again from zero."""
        for (name, *labels), number in self._counts.items():
            match labels:
                case []:
                    KSR.xhttp_prom.counter_inc_l0(name, number)
                case [label]:
                    KSR.xhttp_prom.counter_inc_l1(name, number, label)
                case [label, other]:
                    KSR.xhttp_prom.counter_inc_l2(name, number, label, other)
                case [label, other, third]:
                    KSR.xhttp_prom.counter_inc_l3(name, number, label, other, third)
        self._counts.clear()


_NATIVE = (
    ("registers_received", "sip_requests_received_total", "REGISTER"),
    ("registers_shed", "sip_requests_shed_total", "registers"),
    ("subscribes_shed", "sip_requests_shed_total", "subscribes"),
)
"Statistics of kamailio.cfg, and the counters and labels that show them."
_WRAPS = 2**32


class NativeCounts:
    """In one process: what kamailio.cfg counts by itself, carried over to the counters that are shown."""

    def __init__(self) -> None:
        self._carried = dict.fromkeys((statistic for statistic, _, _ in _NATIVE), 0)

    def carry_over(self) -> None:
        """Add what has come since the last time."""
        for statistic, name, label in _NATIVE:
            now = int(KSR.pv.get(f"$stat({statistic})") or 0)
            if more := (now - self._carried[statistic]) % _WRAPS:
                KSR.xhttp_prom.counter_inc_l1(name, more, label)
                self._carried[statistic] = now


def observe(name: str, milliseconds: int) -> None:
    """Add one span to a histogram of seconds."""
    KSR.xhttp_prom.histogram_observe_l0(name, _seconds(milliseconds))


@lru_cache(maxsize=4_096)  # of a thousand observations at a time most are of the same few milliseconds
def _seconds(milliseconds: int) -> str:
    return f"{max(milliseconds, 0) / 1000:.3f}"


def show_hop(address: str, paused_until_ms: int, down_until_ms: int) -> None:
    """Show until when a next hop is left alone or counts as down; a time that is over stays as it is."""
    KSR.xhttp_prom.gauge_set_l1("next_hop_paused_until_seconds", f"{paused_until_ms / 1000:.3f}", address)
    KSR.xhttp_prom.gauge_set_l1("next_hop_down_until_seconds", f"{down_until_ms / 1000:.3f}", address)


def count_received(method: str) -> None:
    """Count a request from outside. A method that we do not know is `other`: peers may make up any number."""
    label = method if method in _METHODS else _OTHER
    KSR.xhttp_prom.counter_inc_l1("sip_requests_received_total", 1, label)


def count_hosted(application: str, status: int) -> None:
    """Count a push for an application behind this server, by our answer."""
    KSR.xhttp_prom.counter_inc_l2("hosted_pushes_total", 1, application, str(status))
