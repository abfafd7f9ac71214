"""Which application of this device a request is for (RFC 3841 7.2.4 at the UAS, PROP-ARI-6)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from omapush.protocol.feature_sets import (
    FeatureSet,
    Predicate,
    Token,
    parse_accept_contact,
    parse_reject_contact,
)
from omapush.protocol.feature_tags import PUSH_TAG
from omapush.protocol.sip_message import SipMessage
from omapush.receiver.push import AnswerWith
from omapush.receiver.whitelist import type_fits


def named_applications(message: SipMessage) -> tuple[str, ...]:
    """
    Return the ARIs that Accept-Contact names, in lower case, in their order of preference by value.

    Raises:
        MalformedSip: Accept-Contact cannot be read.
    """
    found: dict[str, None] = {}
    for predicate in _wanted(message):
        feature = predicate.features.features.get(PUSH_TAG)
        if feature is None or isinstance(feature.values, bool):
            continue
        written = [piece.strip().lower() for piece in feature.text.split(",")]
        tokens = {term.text for term in feature.values if isinstance(term, Token)}
        found.update((one, None) for one in written if one in tokens)
    return tuple(found)


def check_preferences(message: SipMessage, own: FeatureSet) -> None:
    """
    Refuse with 480 what the caller's preferences keep from this device.

    Raises:
        AnswerWith: 480.
        MalformedSip: Accept-Contact or Reject-Contact cannot be read.
    """
    for value in message.all("reject-contact"):
        for predicate in parse_reject_contact(value):
            asked = predicate.features.features
            if asked and all(tag in own.features and asked[tag].overlaps(own.features[tag]) for tag in asked):
                raise _gone("Reject-Contact names this device")
    for predicate in _wanted(message):
        if not predicate.require:
            continue
        for tag, feature in predicate.features.features.items():
            mine = own.features.get(tag)
            if mine is not None and not feature.overlaps(mine):
                raise _gone(f"{tag} of this device is another")
            if mine is None and predicate.explicit:
                raise _gone(f"this device does not have {tag}")


def application_of(
    message: SipMessage,
    applications: Mapping[str, Sequence[str]],
    *,
    default: str,
    content_type: str,
) -> str:
    """
    Return the ARI of the application that a request outside subscriptions is for.

    `applications`: by ARI the content types that each takes. Without an ARI the default takes it, else the
    only application whose content types name this one.

    Raises:
        AnswerWith: 404, none is named and none fits, or an unknown one is.
        MalformedSip: Accept-Contact cannot be read.
    """
    named = named_applications(message)
    for ari in named:
        if ari in applications:
            return ari
    if named:
        raise AnswerWith(404, f"no push application {named[0]} here", phrase="Not Found")
    if default:
        return default
    takers = [
        ari
        for ari, types in applications.items()
        if "*/*" not in types and type_fits(content_type, tuple(types))
    ]
    if len(takers) == 1:
        return takers[0]
    raise AnswerWith(404, "no push application is named and there is no default", phrase="Not Found")


def _wanted(message: SipMessage) -> list[Predicate]:
    return [one for value in message.all("accept-contact") for one in parse_accept_contact(value)]


def _gone(text: str) -> AnswerWith:
    return AnswerWith(480, text, phrase="Temporarily Unavailable")
