"""
What a link means for the result of a push: its SIP answer says that the link is there, the fetch the content.

Which of the two counts as delivered is the application's to say (`link_delivered`). A device answers before
it fetches, and SIP has no way to report a fetch that failed: so by default the fetch counts.
"""

from __future__ import annotations

from typing import Literal

from omapush.push.outcome import DELIVERED_CODE, Outcome
from omapush.push.values import Result

Counts = Literal["fetch", "answer"]
"What makes a push that travelled as a link delivered."


def waits(sip_code: int, reason: str) -> str:
    """Return how a recipient's result reads while its fetch is waited for."""
    return f"the device has the link ({sip_code} {reason}".rstrip() + "), its fetch is waited for"


def fetched() -> Outcome:
    """Return the verdict on a push whose content was fetched to its last byte."""
    return Outcome(None, "delivered", DELIVERED_CODE, "the content was fetched by its link")


def run_out() -> Outcome:
    """Return the verdict on a push whose link ran out before that."""
    return Outcome(None, "expired", "5028", "the device has the link, and did not fetch the content in time")


def result(verdict: Outcome, last: Result, at_ms: int) -> Result:
    """Return the final result; how it travelled and what SIP said of it stays."""
    return last._replace(state=verdict.state, code=verdict.code, desc=verdict.desc, at_ms=at_ms)
