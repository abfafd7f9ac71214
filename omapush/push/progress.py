"""What the answer to a submission tells of its way so far: a progress note for each step (docs/pap.md)."""

from __future__ import annotations

from collections import Counter

from omapush.protocol import pap_values as pap
from omapush.push.acceptance import Accepted
from omapush.push.values import PENDING

_QUEUED = "stored, waiting to be sent"


def notes(accepted: Accepted) -> tuple[pap.ProgressNote, ...]:
    """Return the notes for an accepted push: stored, scheduled, replacing, and who has a result already."""
    push, at_s = accepted.push, accepted.push.accepted_ms // 1000
    states = Counter(result.state for result in accepted.results)
    said = [(pap.MessageState.PENDING, _QUEUED)] if states[PENDING] or push.subscribers else []
    if push.deliver_after_ms:
        said.append((pap.MessageState.PENDING, "not sent before its deliver-after"))
    if push.replaces:
        whom = "and goes to all of its recipients" if push.replace_all else "where that one still waits"
        said.append((pap.MessageState.PENDING, f"takes the place of the push that it replaces, {whom}"))
    said += [
        (pap.MessageState(state), f"{number} of {len(accepted.results)} recipients have their result")
        for state, number in sorted(states.items())
        if state != PENDING
    ]
    return tuple(pap.ProgressNote(stage, note, at_s) for stage, note in said)
