"""Deliveries of a push that are counted: by state, and all that is known of those to subscribers."""

from __future__ import annotations

import re
from typing import Final, Literal, NamedTuple, get_args

from omapush.push.values import State

STATES: Final = tuple(f"n:{state}" for state in get_args(State))
"Fields that count the recipients in each state."


class Counted(NamedTuple):
    """What is known of the deliveries of a push to subscribers, which are only counted."""

    state: Literal["running", "paused", "aborted", "finished"]
    "As it was last told to be, until it is finished."
    is_aborted: bool
    ended: int
    "Deliveries with a final result."
    by_state: dict[str, int]
    "The same by their states."
    made: dict[int, int]
    "Deliveries that each user shard made which has no more to make."


NONE_COUNTED: Final = Counted("running", False, 0, {}, {})
"How it begins."


def by_state(fields: dict[str, bytes]) -> dict[str, int]:
    """Return how many are in each state, without those that nobody is in."""
    counts = {name[2:]: int(value) for name, value in fields.items() if name.startswith("n:")}
    return {state: number for state, number in counts.items() if number}


def of_fields(fields: dict[str, bytes]) -> Counted:
    """Read all fields of a push to subscribers."""
    finished = fields["shards"] == b"0" and fields["total"] == fields["done"]
    told = fields["state"].decode()
    return Counted(
        state="finished" if finished else told,  # type: ignore[arg-type]
        is_aborted=told == "aborted",
        ended=int(fields["done"]),
        by_state=by_state(fields),
        made={int(name[1:]): int(value) for name, value in fields.items() if re.fullmatch("t[0-9]+", name)},
    )
