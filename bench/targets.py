"""What figures have to reach, for the lines of a run, for the page and for the table in the documents."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal, NamedTuple

Verdict = Literal["missed", "reached", "aim reached"]


class Target(NamedTuple):
    """What one figure has to reach, and what it should."""

    of: Literal["ratio", "value"]
    "Which of the two counts."
    least: float
    "The worst that will do."
    aim: float
    less_is_better: bool = False

    def verdict(self, value: float, ratio: float | None) -> Verdict:
        """Tell how far a figure comes; what has no ratio where one counts has missed it."""
        if self.part(value, ratio, self.aim) >= 1:
            return "aim reached"
        return "reached" if self.part(value, ratio, self.least) >= 1 else "missed"

    def part(self, value: float, ratio: float | None, of: float) -> float:
        """Return how much of a goal is reached, 1 and more when it is."""
        counted = self.counted(value, ratio)
        if not self.less_is_better:
            return counted / of
        return of / counted if counted else 1.0

    def counted(self, value: float, ratio: float | None) -> float:
        """Return what counts of a figure."""
        return value if self.of == "value" else ratio or 0.0

    def __str__(self) -> str:
        """The goals in words, such as `at least 1,500, aim 2,500`."""
        least = f"{'at most' if self.less_is_better else 'at least'} {_number(self.least)}"
        return least if self.aim == self.least else f"{least}, aim {_number(self.aim)}"


def _number(number: float) -> str:
    return f"{number:,.0f}" if number >= 10 or number == 0 else f"{number:g}"


TARGETS: Final[Mapping[str, Target]] = {
    "message_push": Target("ratio", 0.7, 1.2),
    "pap_to_delivered": Target("value", 1_500, 2_500),
    "waiting_million": Target("ratio", 1.0, 1.0),
    "silent_devices": Target("ratio", 0.5, 0.9),
    "register_capture": Target("ratio", 0.25, 0.5),
    "overload_goodput": Target("ratio", 0.9, 0.9),
    "overload_goodput_subscribe": Target("ratio", 0.9, 0.9),
    "overload_goodput_pap": Target("ratio", 0.9, 0.9),
    "overload_goodput_json": Target("ratio", 0.9, 0.9),
    "subscribe_notify": Target("ratio", 1.0, 2.0),
    "fanout_notify": Target("ratio", 1.0, 2.0),
    "sip_latency_p99": Target("value", 50, 15, less_is_better=True),
    "redis_bytes_per_user": Target("value", 2_000, 1_200, less_is_better=True),
    "msrp_stream": Target("ratio", 0.5, 0.8),
    "million_users": Target("ratio", 0.9, 1.0),
    "million_dialogs": Target("ratio", 0.9, 1.0),
    "kill9_lost": Target("value", 0, 0, less_is_better=True),
}
"Figures without an entry are measured to be compared, and have nothing to reach."
