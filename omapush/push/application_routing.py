"""
Which application a request that comes to us belongs to, and why (PROP-ARI-6).

Four clues may tell: the push tag of Accept-Contact, Event with its parameters, the Request-URI, and the
type of the content. They are asked in the configured order, and the first that names one application
decides. A clue that could mean several decides nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import lru_cache
from typing import Final, Literal, NamedTuple, Protocol

from omapush.errors import PushError, shortened
from omapush.protocol.event_header import EventType, parse_event
from omapush.protocol.feature_sets import Predicate, parse_accept_contact
from omapush.protocol.feature_tags import PUSH_TAG, push_applications
from omapush.protocol.multipart import media_type
from omapush.protocol.name_addr import NameAddr
from omapush.protocol.sip_uri import address_of_record

Clue = Literal["accept-contact", "event", "request-uri", "content-type"]

EVENT_METHODS: Final = frozenset({"SUBSCRIBE", "NOTIFY", "PUBLISH"})
"Methods in which Event means something (RFC 6665 8.2.1, RFC 3903 11.1.1)."


class Addressed(Protocol):
    """How requests for one application may be recognised; a table of the configuration is one."""

    @property
    def events(self) -> tuple[str, ...]:
        """Event values: package and the parameters that have to be there."""

    @property
    def request_uris(self) -> tuple[str, ...]:
        """Shell patterns over the address of record of the Request-URI."""

    @property
    def content_types(self) -> tuple[str, ...]:
        """Shell patterns over the media type; none: its content tells nothing."""


class RoutingRules(Protocol):
    """How clues are weighed; a table of the configuration is one."""

    @property
    def order(self) -> tuple[Clue, ...]:
        """Clues to ask, the first to decide first."""

    @property
    def unknown(self) -> Literal["accept", "refuse"]:
        """What becomes of an ARI that no table describes."""

    @property
    def default(self) -> str:
        """Application of a request without any clue; empty: none."""


@dataclass(frozen=True, slots=True)
class RoutedRequest:
    """What of a request tells where it belongs; empty for a header that is not there."""

    method: str
    request_uri: str = ""
    accept_contact: tuple[str, ...] = ()
    "Values of all Accept-Contact headers."
    event: str = ""
    content_type: str = ""


class Routing(NamedTuple):
    """Where a request belongs."""

    application: str
    "ARI; empty: nowhere, then `sip_status` is the answer."
    clue: Clue | Literal["default", "none"]
    "What decided."
    sip_status: int
    "0 when there is an application; 480 or 404 when there is none (RFC 3841 7.2.4, PROP-ARI-6)."
    reasons: tuple[str, ...]
    "What each clue said, in the order asked."


class _Finding(NamedTuple):
    """What one clue says."""

    application: str
    "Empty: nothing that decides."
    words: str
    sip_status: int = 0
    "Not 0: it decides that there is none."


def route(request: RoutedRequest, rules: RoutingRules, applications: Mapping[str, Addressed]) -> Routing:
    """
    Return which of `applications` (by ARI, in the order of the file) the request is for.

    Never raises: a header that cannot be read is a clue that says nothing, and its reason tells so.
    """
    reasons = []
    for clue in rules.order:
        try:
            finding = _ASK[clue](request, rules, applications)
        except PushError as error:
            finding = _Finding("", f"cannot be read: {error}")
        reasons.append(f"{clue}: {finding.words}")
        if finding.application or finding.sip_status:
            return Routing(finding.application, clue, finding.sip_status, tuple(reasons))
    if rules.default:
        reasons.append(f"no clue decides: {rules.default} is the default")
        return Routing(rules.default, "default", 0, tuple(reasons))
    reasons.append("no clue decides, and there is no default")
    return Routing("", "none", 404, tuple(reasons))


def _by_accept_contact(
    request: RoutedRequest, rules: RoutingRules, applications: Mapping[str, Addressed]
) -> _Finding:
    """Each value is judged; of several ARIs in one, any that we have will do (PROP-ARI-6)."""
    predicates = [one for value in request.accept_contact for one in parse_accept_contact(value)]
    named = list(dict.fromkeys(ari for predicate in predicates for ari in _aris(predicate)))
    if not named:
        return _Finding("", "names no application")
    for ari in named:
        if ari in applications:
            return _Finding(ari, f"names {ari}")
    listed = shortened(", ".join(named))
    if rules.unknown == "accept":
        return _Finding(named[0], f"names {listed}, which has no table: default profile")
    if any(predicate.require and _aris(predicate) for predicate in predicates):
        return _Finding("", f"requires {listed}, which is not ours", 480)
    return _Finding("", f"names {listed}, which is not ours and not required")


def _aris(predicate: Predicate) -> tuple[str, ...]:
    """In the order written; negated terms, numbers and strings name none."""
    feature = predicate.features.features.get(PUSH_TAG)
    if feature is None or isinstance(feature.values, bool):
        return ()
    return push_applications(NameAddr("", "", ((PUSH_TAG, feature.text),)))


def _by_event(request: RoutedRequest, rules: RoutingRules, applications: Mapping[str, Addressed]) -> _Finding:
    if not request.event:
        return _Finding("", "not there")
    if request.method not in EVENT_METHODS:
        return _Finding("", f"means nothing in {shortened(request.method)}")
    asked = parse_event(request.event)
    return _only(
        shortened(request.event),
        (
            ari
            for ari, addressed in applications.items()
            if any(_is_event(asked, _configured(wanted)) for wanted in addressed.events)
        ),
    )


@lru_cache(maxsize=256)
def _configured(event: str) -> EventType:
    return parse_event(event)


def _is_event(asked: EventType, wanted: EventType) -> bool:
    """Every parameter that is configured has to be there; its value may be one of a comma list."""
    return asked.package == wanted.package and all(
        name in asked.params and (not value or value.lower() in _listed(asked.params[name]))
        for name, value in wanted.params.items()
    )


def _listed(value: str) -> list[str]:
    whole = value.lower()
    return [whole, *(item.strip() for item in whole.split(","))]


def _by_request_uri(
    request: RoutedRequest, rules: RoutingRules, applications: Mapping[str, Addressed]
) -> _Finding:
    if not request.request_uri:
        return _Finding("", "not there")
    aor = address_of_record(request.request_uri)
    return _only(aor, _matching(aor, ((ari, one.request_uris) for ari, one in applications.items())))


def _by_content_type(
    request: RoutedRequest, rules: RoutingRules, applications: Mapping[str, Addressed]
) -> _Finding:
    if not request.content_type:
        return _Finding("", "not there")
    essence = media_type(request.content_type, "Content-Type").essence
    return _only(essence, _matching(essence, ((ari, one.content_types) for ari, one in applications.items())))


def _matching(text: str, patterns: Iterable[tuple[str, tuple[str, ...]]]) -> Iterable[str]:
    return (ari for ari, own in patterns if any(fnmatchcase(text, pattern) for pattern in own))


def _only(what: str, found: Iterable[str]) -> _Finding:
    aris = list(found)
    if not aris:
        return _Finding("", f"{what} belongs to no application")
    if len(aris) > 1:
        return _Finding("", f"{what} could be any of {shortened(', '.join(aris))}")
    return _Finding(aris[0], f"{what} belongs to {aris[0]}")


_ASK: Final[dict[Clue, Callable[[RoutedRequest, RoutingRules, Mapping[str, Addressed]], _Finding]]] = {
    "accept-contact": _by_accept_contact,
    "event": _by_event,
    "request-uri": _by_request_uri,
    "content-type": _by_content_type,
}
