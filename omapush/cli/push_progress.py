"""Waiting for the end of a push, with its progress on standard error, and how it ended."""

from __future__ import annotations

import sys
import time
from typing import Final, NamedTuple

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from omapush.cli import terminal
from omapush.cli.push_view import outcome_line
from omapush.errors import PushRefused
from omapush.push.values import PENDING
from omapush.store import fanouts, pushes
from omapush.store.client import Store
from omapush.store.counted import Counted
from omapush.store.pushes import Known

_POLL_S: Final = 0.01
_POLL_SUBSCRIBERS_S: Final = 0.1


class _Standing(NamedTuple):
    ended: int
    total: int
    why: str
    is_over: bool


def wait(store: Store, ref: str) -> Known:
    """Return the push once all of it is final; whoever looks at a terminal sees how far it is."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    errors = Console(stderr=True)
    with Progress(*columns, console=errors, transient=True, disable=not errors.is_terminal) as progress:
        task = progress.add_task("waiting for results", total=None)
        while True:
            known = pushes.read(store, ref)
            if known is None:
                raise PushRefused("the push is not in the store: do api and command line use the same Redis?")
            standing = _standing(store, known)
            progress.update(task, total=standing.total, completed=standing.ended, description=standing.why)
            if standing.is_over:
                return known
            time.sleep(_POLL_S if known.subscribers is None else _POLL_SUBSCRIBERS_S)


def _standing(store: Store, known: Known) -> _Standing:
    reach = fanouts.reach(store, known)
    if known.subscribers is not None and reach is not None:
        state, ended = known.subscribers.state, known.subscribers.ended
        return _Standing(ended, max(reach.subscribed, reach.made), state, state == "finished")
    pending = [result.desc for result in known.results if result.state == PENDING]
    total = len(known.results)
    why = next((desc for desc in pending if desc), "waiting for results")
    return _Standing(total - len(pending), total, why, not pending)


def conclude(known: Known, *, quiet: bool) -> None:
    """Print the results; exit 1 when one is not delivered."""
    if known.subscribers is not None:
        _conclude_subscribers(known.push.push_id, known.subscribers, quiet=quiet)
        return
    for recipient, result in zip(known.recipients, known.results, strict=True):
        if not quiet:
            whom = f"{recipient.address}  " if len(known.recipients) > 1 else ""
            print(whom + outcome_line(result, known.push.accepted_ms))
    failed = sum(result.state != "delivered" for result in known.results)
    if failed:
        raise _not_delivered(f"{failed} of {len(known.results)} recipients", known.push.push_id)


def _conclude_subscribers(push_id: str, counted: Counted, *, quiet: bool) -> None:
    if not quiet:
        numbers = "  ".join(f"{state} {number}" for state, number in sorted(counted.by_state.items()))
        print(f"{'aborted' if counted.is_aborted else 'finished'}  {numbers or 'nobody was subscribed'}")
    failed = counted.ended - counted.by_state.get("delivered", 0)
    if failed:
        raise _not_delivered(f"{failed} of {counted.ended} subscribers", push_id)


def _not_delivered(whom: str, push_id: str) -> Exception:
    sys.stdout.flush()
    return terminal.fail(f"not delivered to {whom}; why: omapush push explain {push_id}")
