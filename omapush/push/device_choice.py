"""
Which of a user's devices a push is for, decided from the registration before anything is sent.

The application's Accept-Contact is matched as it will be sent (RFC 3841 7.2.4). A
proxy may still see it otherwise; but what is known to lead nowhere need not wake a core.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Final, Literal

from msgspec import Struct

from omapush.errors import MalformedSip, shortened
from omapush.protocol.feature_sets import ACCEPT_CONTACT, FeatureSet
from omapush.push.caller_preferences import Target, Verdict, match
from omapush.push.registration import PARTIAL_TAGS, Contact, Registration, is_registered

Presence = Literal["unregistered", "unknown", "fits", "none fits"]
"What is known: nobody is there; somebody with devices not shown; a device fits; devices, but none fits."

Tags = tuple[tuple[str, str | None], ...]
"Feature parameters; None: a flag."

_MOST_TOLD: Final = 4
"Devices that a reason describes one by one."
_INSTANCE: Final = "+sip.instance"


class Devices(Struct, frozen=True, gc=False):
    """What the registration says about the devices that a push could reach."""

    presence: Presence
    why: str
    "In words, for the event log."
    fitting: tuple[str, ...] = ()
    "URIs of the contacts that fit, best first."


def devices_for(registration: Registration | None, accept_contact: str, now_ms: int) -> Devices:
    """
    Return which live contacts a MESSAGE with this Accept-Contact is for; empty: it goes out with none.

    A contact fits when the preferences keep it and it is known to have what they ask for; one without any
    feature parameters fits everything. Who is registered while no contact was ever shown, or only by an
    S-CSCF that reports no push tags, is `unknown`.
    """
    if registration is None:
        return Devices("unregistered", "no registration is known")
    if not is_registered(registration, now_ms):
        return Devices("unregistered", "not registered")
    live = [contact for contact in registration.contacts if contact.expires_ms > now_ms]
    if not live:
        return Devices("unknown", "registered, devices not shown")
    if not accept_contact:
        uris = tuple(contact.uri for contact in live)
        return Devices("fits", f"registered, {_devices(len(live))}", uris)
    shown = tuple((_alike(contact.features), contact.q) for contact in live)
    try:
        judged = _judged(shown, accept_contact)
    except MalformedSip as error:
        return Devices("unknown", f"registered, preferences cannot be matched: {error}")
    fitting = tuple(live[place].uri for place, verdict in judged if verdict.kept and verdict.score > 0)
    if fitting:
        verb = "fits" if len(fitting) == 1 else "fit"
        return Devices("fits", f"{len(fitting)} of {_devices(len(live))} {verb}", fitting)
    if any(contact.tags_source == PARTIAL_TAGS for contact in live):
        return Devices("unknown", "registered, the reg event shows no push applications")
    told = [(live[place].uri, verdict) for place, verdict in judged]
    return Devices("none fits", _none_fits(told, accept_contact))


@lru_cache(maxsize=4_096)  # the same few models, and applications, come again and again
def _judged(
    shown: tuple[tuple[Tags, float | None], ...], accept_contact: str
) -> tuple[tuple[int, Verdict], ...]:
    """Verdicts, the best first, each with the place of its contact: what they say does not depend on URIs."""
    targets = [Target(str(place), q, _features(tags)) for place, (tags, q) in enumerate(shown)]
    verdicts = match(targets, [accept_contact], method="MESSAGE").verdicts
    return tuple((int(verdict.target.uri), verdict) for verdict in verdicts)


def devices_differ(old: Registration | None, new: Registration, now_ms: int) -> bool:
    """Tell whether another decision could follow from `new` than from `old`: for what is held it is time."""
    if is_registered(old, now_ms) != is_registered(new, now_ms):
        return True
    if old is None:
        return False
    before, after = _live(old, now_ms), _live(new, now_ms)
    return before != after and frozenset(before) != frozenset(after)


def _live(registration: Registration, now_ms: int) -> list[tuple[str, float | None, Tags]]:
    return [(one.uri, one.q, one.features) for one in registration.contacts if one.expires_ms > now_ms]


def target_of(contact: Contact) -> Target:
    """Return the contact as caller preferences see it."""
    return Target(contact.uri, contact.q, _features(_alike(contact.features)))


def _alike(features: Tags) -> Tags:
    """
    Devices of one model differ in their instance alone, which no push application ever asks for.

    The tag stays, for it decides whether the contact is immune.
    """
    return tuple((name, "<>" if name == _INSTANCE else value) for name, value in features)


@lru_cache(maxsize=4_096)  # a network has few models of devices
def _features(params: Tags) -> FeatureSet:
    return FeatureSet.of(params)


def _none_fits(verdicts: Sequence[tuple[str, Verdict]], accept_contact: str) -> str:
    """`verdicts`: each with the URI of its contact."""
    told = "; ".join(
        f"{shortened(uri)}: {_words(verdict, accept_contact)}" for uri, verdict in verdicts[:_MOST_TOLD]
    )
    more = f"; {len(verdicts) - _MOST_TOLD} more" if len(verdicts) > _MOST_TOLD else ""
    return f"none of {_devices(len(verdicts))} fits: {told}{more}"


def _words(verdict: Verdict, accept_contact: str) -> str:
    """The reason without the predicate, which is the same for all."""
    return verdict.reasons[0].partition(f"{ACCEPT_CONTACT} {shortened(accept_contact, 160)}: ")[2]


def _devices(number: int) -> str:
    return f"{number} device{'' if number == 1 else 's'}"
