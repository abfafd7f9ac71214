"""
What a user's devices take, who says so and since when; and whether a push fits (docs/capabilities.md).

Several sources speak about one device. For each property the strongest that says anything about it counts
(PROP-CAP-5), except that a device's own refusal of a push is believed for as long as it is remembered.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Final, Literal, NamedTuple

from omapush.protocol.uaprof import PushCharacteristics

RECORD_VERSION: Final = 1
MOST_FACTS: Final = 64

Source = Literal["uaprof", "register", "answer", "presence", "initiator"]
STRENGTH: Final[tuple[Source, ...]] = ("uaprof", "register", "answer", "presence", "initiator")
"Sources, strongest first."

ANY_DEVICE: Final = ""
"Device of facts that are about the user as a whole."
NOT_SUPPORTED: Final = "2006"
NO_MATCH: Final = "2005"


class Facts(NamedTuple):
    """What one source says about one device; None: it does not say."""

    device: str
    "Instance id (`urn:uuid:...`) or contact URI; empty: the user as a whole."
    source: Source
    at_ms: int
    expires_ms: int
    "Not believed any more from here on."
    application: str = ""
    "ARI that this holds for alone; empty: for all."
    about: str = ""
    "What an answer was about, for each thing learnt has an age of its own; else empty."
    types: tuple[str, ...] | None = None
    encodings: tuple[str, ...] | None = None
    applications: tuple[str, ...] | None = None
    largest_bytes: int | None = None
    methods: tuple[str, ...] | None = None
    refused: tuple[str, ...] = ()
    "Content types that it refused, or says it does not take."
    profile_url: str = ""
    "Where its UAProf document is; that says the rest."
    method: str = ""
    "Way of a push that this holds for alone, such as MESSAGE; empty: for all."


class Capabilities(NamedTuple):
    """All that was said about the devices of one address of record."""

    version: int
    aor: str
    facts: tuple[Facts, ...]
    at_ms: int


class Content(NamedTuple):
    """What is about to be sent."""

    type: str
    "type/subtype in lower case."
    size: int
    application: str


class Refusal(NamedTuple):
    """Why a push is not sent."""

    code: str
    "PAP status code."
    why: str


def merge(old: Capabilities | None, aor: str, new: Iterable[Facts], now_ms: int) -> Capabilities:
    """
    Return the record with `new` in it.

    Facts replace older ones of the same source about the same device and application. What is told twice,
    or in another order, gives the same.
    """
    known = {_place(one): one for one in (old.facts if old else ()) if one.expires_ms > now_ms}
    for one in new:
        if one.expires_ms > now_ms:
            known[_place(one)] = _newer(known.get(_place(one)), one)
        else:
            known.pop(_place(one), None)
    newest_first = sorted(known.values(), key=lambda one: (-one.at_ms, *_place(one)))
    return Capabilities(RECORD_VERSION, aor, tuple(newest_first[:MOST_FACTS]), now_ms)


def replaced(
    old: Capabilities | None, aor: str, source: Source, new: Iterable[Facts], now_ms: int
) -> Capabilities:
    """Return the record in which `new` is all that `source` says; what others said stays."""
    return merge(without(old, source) or old, aor, new, now_ms)


def prolonged(old: Capabilities | None, source: Source, expires_ms: int, now_ms: int) -> Capabilities | None:
    """Return the record in which what `source` said is believed until then; None: it stays as it is."""
    if old is None:
        return None
    facts = tuple(
        one._replace(expires_ms=expires_ms) if one.source == source and one.expires_ms > now_ms else one
        for one in old.facts
    )
    return None if facts == old.facts else old._replace(facts=facts)


def without(old: Capabilities | None, source: Source) -> Capabilities | None:
    """Return the record in which `source` says nothing; None: it stays as it is."""
    if old is None or all(one.source != source for one in old.facts):
        return None
    return old._replace(facts=tuple(one for one in old.facts if one.source != source))


def _place(facts: Facts) -> tuple[str, str, str, str]:
    return facts.device, facts.source, facts.application, f"{facts.method} {facts.about}"


def _newer(old: Facts | None, new: Facts) -> Facts:
    return new if old is None else max(old, new, key=lambda one: (one.at_ms, repr(one)))


def resolved(
    record: Capabilities | None, profiles: Mapping[str, PushCharacteristics], now_ms: int
) -> tuple[Facts, ...]:
    """Return the facts that hold now; `profiles` are the UAProf documents at hand, by URL."""
    facts = (one for one in (record.facts if record else ()) if one.expires_ms > now_ms)
    return tuple(_with_profile(one, profiles.get(one.profile_url)) for one in facts)


def _with_profile(facts: Facts, profile: PushCharacteristics | None) -> Facts:
    if profile is None:
        return facts
    return facts._replace(
        types=profile.types,
        encodings=profile.encodings,
        applications=profile.applications,
        largest_bytes=profile.largest_bytes,
    )


def check(content: Content, facts: Sequence[Facts], devices: Collection[str] = ()) -> Refusal | None:
    """
    Return why the content should not be sent, or None when some device may take it (PSA-MSG-4).

    `facts` as `resolved` gives them, `devices` the names of those that are registered. A device of
    which nothing is known may take everything. What holds for one way of a push alone is left out.
    """
    of_all_ways = (one for one in facts if not one.method)
    return _check(content, of_all_ways, devices)


def check_way(content: Content, method: str, facts: Sequence[Facts]) -> Refusal | None:
    """Return why the content should not go by one way, as far as its refusals were learnt; mostly None."""
    of_way = [one for one in facts if one.method == method]
    return _check(content, of_way, ()) if of_way else None


def _check(content: Content, facts: Iterable[Facts], devices: Collection[str]) -> Refusal | None:
    general, by_device = _split(_about(facts, content.application))
    names = devices or by_device or (ANY_DEVICE,)
    misfits = [_misfit(content, (*general, *by_device.get(name, ()))) for name in names]
    return misfits[0] if all(misfits) else None


def takes(content_type: str, application: str, facts: Sequence[Facts]) -> bool | None:
    """Tell whether all known devices take a content type; None: nobody says."""
    return _all_devices(facts, application, lambda known: _takes_type(content_type, known))


def takes_gzip(application: str, facts: Sequence[Facts]) -> bool | None:
    """Tell whether all known devices take Content-Encoding gzip; None: nobody says."""
    return _all_devices(facts, application, _gzip)


def _gzip(facts: Sequence[Facts]) -> bool | None:
    encodings = next((one.encodings for one in _by_strength(facts) if one.encodings is not None), None)
    return None if encodings is None else "gzip" in encodings or "*" in encodings


def _all_devices(
    facts: Sequence[Facts], application: str, ask: Callable[[Sequence[Facts]], bool | None]
) -> bool | None:
    general, by_device = _split(_about(facts, application))
    groups = [(*general, *own) for own in by_device.values()] or [general]
    answers = [ask(group) for group in groups]
    if False in answers:
        return False
    return None if None in answers else True


def _about(facts: Iterable[Facts], application: str) -> list[Facts]:
    return [one for one in facts if one.application in ("", application)]


def _split(facts: Iterable[Facts]) -> tuple[tuple[Facts, ...], dict[str, tuple[Facts, ...]]]:
    general: tuple[Facts, ...] = ()
    by_device: dict[str, tuple[Facts, ...]] = {}
    for one in facts:
        if one.device == ANY_DEVICE:
            general = (*general, one)
        else:
            by_device[one.device] = (*by_device.get(one.device, ()), one)
    return general, by_device


def _by_strength(facts: Iterable[Facts]) -> list[Facts]:
    """Strongest source first; of one source what is about this device and application, then the newest."""
    return sorted(
        facts,
        key=lambda one: (
            STRENGTH.index(one.source),
            one.device == ANY_DEVICE,
            not one.application,
            -one.at_ms,
        ),
    )


def _misfit(content: Content, facts: Sequence[Facts]) -> Refusal | None:
    if _takes_type(content.type, facts) is False:
        return Refusal(NOT_SUPPORTED, f"the device does not take {content.type}, {_who(facts)}")
    largest = _smallest_of(facts)
    if largest is not None and content.size > largest:
        return Refusal(NOT_SUPPORTED, f"{content.size} bytes, the device takes {largest}, {_who(facts)}")
    return None


def _who(facts: Sequence[Facts]) -> str:
    sources = dict.fromkeys(one.source for one in _by_strength(facts))
    return f"as told by {', '.join(sources)}"


def _takes_type(content_type: str, facts: Sequence[Facts]) -> bool | None:
    if any(_in_ranges(content_type, one.refused) for one in facts):
        return False
    types = next((one.types for one in _by_strength(facts) if one.types is not None), None)
    return None if types is None else _in_ranges(content_type, types)


def _smallest_of(facts: Sequence[Facts]) -> int | None:
    """What the strongest source says, or less when the device has refused less."""
    stated = [one for one in _by_strength(facts) if one.largest_bytes is not None]
    sizes = [one.largest_bytes for one in stated if one is stated[0] or one.source == "answer"]
    return min((size for size in sizes if size is not None), default=None)


def _in_ranges(content_type: str, ranges: Iterable[str]) -> bool:
    whole = content_type.partition("/")[0] + "/*"
    return any(one in (content_type, whole, "*/*", "*") for one in ranges)


def summary(facts: Sequence[Facts]) -> PushCharacteristics:
    """Return what the strongest source says of each property, as one profile."""
    ranked = _by_strength(facts)
    return PushCharacteristics(
        types=next((one.types for one in ranked if one.types is not None), None),
        encodings=next((one.encodings for one in ranked if one.encodings is not None), None),
        applications=next((one.applications for one in ranked if one.applications is not None), None),
        largest_bytes=_smallest_of(facts),
    )
