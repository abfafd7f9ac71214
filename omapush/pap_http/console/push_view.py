"""What the page of one push shows, ready for its template."""

from __future__ import annotations

from typing import Final, NamedTuple

from omapush import clock
from omapush.config import Config
from omapush.errors import NotKnown, shortened
from omapush.pap_http.console.now_view import tone_of
from omapush.push.values import Event, Result
from omapush.store import event_log, fanouts, own_pushes, push_pages, pushes
from omapush.store.client import Store
from omapush.store.fanouts import Reach
from omapush.store.pushes import Known
from omapush.views import explanation, push_lookup
from omapush.views.explanation import Standing
from omapush.views.ladder import LANES, Step, in_order, steps
from omapush.views.push_search import state_of
from omapush.views.words import span

PAGE: Final = 25
_EVENTS: Final = 1_000
_SHOWN: Final = 150
"Lines of a ladder."
_LANE: Final = 92
_FIRST: Final = 26
WIDTH: Final = 2 * _FIRST + _LANE * (len(LANES) - 1)


class Rung(NamedTuple):
    """One line of the ladder."""

    event: Event
    when: str
    "Time of day of the first, how much later of the others."
    x1: int
    x2: int
    "Where the arrow begins and ends; the same: something happened there."
    label: str
    tone: str


class Recipient(NamedTuple):
    """One recipient of the push."""

    number: int
    standing: Standing
    result: Result
    tone: str


class View(NamedTuple):
    """The whole page."""

    known: Known
    "Without recipients and events."
    state: str
    tone: str
    counts: dict[str, int]
    reach: Reach | None
    rungs: tuple[Rung, ...]
    more_events: bool
    lanes: tuple[tuple[int, str], ...]
    width: int
    recipients: tuple[Recipient, ...]
    first: int
    number: int
    "Recipients in all; 0 of a push to subscribers."
    only: int
    "Recipient whose part the ladder is; -1: of all."
    is_over: bool


def view(config: Config, store: Store, ref: str, first: int = 0, only: int = -1) -> View:
    """
    Return what is known of a push, with recipients from number `first` on.

    `only`: number of the recipient whose part of the ladder is wanted; -1: the whole.

    Raises:
        NotKnown: there is none of this reference, or not any more.
    """
    known = pushes.read(store, ref, most=0, events=False)
    if known is None:
        raise NotKnown("id", f"no push {shortened(ref)} is known, or not any more")
    log = in_order(event_log.events(store, ref, most=_EVENTS))
    events = [event for event in log if only < 0 or event.recipient in (-1, only)]
    page = push_pages.read(store, ref, first, PAGE)
    here = known._replace(recipients=page.recipients, results=page.results, events=tuple(log))
    standings = explanation.standings(config, store, here, clock.now_ms(), first)
    state, number = _summary(store, known)
    counts = known.subscribers.by_state if known.subscribers else known.by_state or _counts(page)
    is_over = state in ("finished", "aborted")
    return View(
        known,
        state if number != 1 else page.results[0].state,
        tone_of(page.results[0].state) if number == 1 else "soft" if is_over else "accent",
        counts,
        fanouts.reach(store, known),
        tuple(_rungs(events[:_SHOWN], known.push.accepted_ms, number)),
        len(log) == _EVENTS or len(events) > _SHOWN,
        tuple((_FIRST + place * _LANE, name) for place, name in enumerate(LANES)),
        WIDTH,
        tuple(
            Recipient(first + place, standing, result, tone_of(result.state))
            for place, (standing, result) in enumerate(zip(standings, page.results, strict=True))
        ),
        first,
        number,
        only,
        is_over,
    )


def find(config: Config, store: Store, text: str) -> str:
    """Return the reference of the push that a push-id or reference means; empty when there is none."""
    for ref in push_lookup.refs_of(config, text):
        if pushes.read(store, ref, most=0, events=False) is not None:
            return ref
    return ""


def _summary(store: Store, known: Known) -> tuple[str, int]:
    found = own_pushes.summaries(store, [known.push.ref])[0]
    return (state_of(found), found.recipients) if found else ("finished", 0)


def _counts(page: push_pages.Page) -> dict[str, int]:
    counts: dict[str, int] = {}
    for result in page.results:
        counts[result.state] = counts.get(result.state, 0) + 1
    return counts


def _rungs(events: list[Event], accepted_ms: int, recipients: int) -> list[Rung]:
    first_ms = events[0].at_ms if events else accepted_ms
    return [
        _rung(event, step, first_ms, recipients) for event, step in zip(events, steps(events), strict=True)
    ]


def _rung(event: Event, step: Step, first_ms: int, recipients: int) -> Rung:
    when = clock.iso(event.at_ms)[11:-1] if event.at_ms == first_ms else f"+{span(event.at_ms - first_ms)}"
    label = step.label + (f" [{event.recipient}]" if event.recipient >= 0 and recipients > 1 else "")
    return Rung(
        event, when, _FIRST + step.start * _LANE, _FIRST + step.end * _LANE, label, _tone(event, step)
    )


def _tone(event: Event, step: Step) -> str:
    if event.name in ("notify-failed", "retry"):
        return "warn"
    if event.name in ("final", "reply") and step.label:
        return "good" if step.label.startswith("2") else "bad"
    return "accent" if step.start != step.end else "soft"
