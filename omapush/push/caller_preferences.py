"""
Which of a user's contacts a request should reach, and why (RFC 3841 7.2).

Preferences are those of Accept-Contact and Reject-Contact; a request without any prefers contacts that
can take its method.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import fsum
from typing import Final, NamedTuple

from omapush.errors import MalformedSip, shortened
from omapush.protocol.feature_sets import (
    MOST_PREDICATES,
    Feature,
    FeatureSet,
    Predicate,
    parse_accept_contact,
    parse_reject_contact,
)

UNSTATED_Q: Final = 1.0
"q of a contact that has none (RFC 3841 7.2.4)."


@dataclass(frozen=True, slots=True)
class Target:
    """A contact that the request could go to."""

    uri: str
    q: float | None
    "The callee's own preference, 0 to 1."
    features: FeatureSet


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the preferences make of one target."""

    target: Target
    kept: bool
    score: float
    "Qa: how well the target is known to fit, 0 to 1."
    reasons: tuple[str, ...]
    "In words for people, each beginning with `kept: ` or `dropped: `."


@dataclass(frozen=True, slots=True)
class Matching:
    """The verdict on each target."""

    verdicts: tuple[Verdict, ...]
    "Those kept, best first; then those dropped, as they came."
    implicit: bool
    "The request stated no preference: it was asked whether a contact takes its method."
    problems: tuple[str, ...] = ()
    "What was misspelt or could not be read, for the log."

    @property
    def kept(self) -> tuple[Target, ...]:
        """The targets to send to, best first; none means 480 (RFC 3841 7.2.4)."""
        return tuple(verdict.target for verdict in self.verdicts if verdict.kept)


class _Opinion(NamedTuple):
    """What one predicate makes of one target."""

    keeps: bool
    score: float | None
    "None: the predicate does not fit, nothing required it to, and it does not count."
    words: str


def match(
    targets: Sequence[Target],
    accept: Sequence[str],
    reject: Sequence[str] = (),
    *,
    method: str,
    event: str | None = None,
) -> Matching:
    """
    Return which of `targets` a request reaches and in which order: by q, then by Qa, then as they came.

    `accept` and `reject` are the values of all its Accept-Contact and Reject-Contact headers, `event` that
    of its Event header. A target without feature tags is immune to preferences (RFC 3841 7.2.4). When
    nobody fits preferences that nobody stated, all stay.

    Raises:
        MalformedSip: a header value is not what RFC 3841 allows; the request deserves a 400.
    """
    wanted = [predicate for value in accept for predicate in parse_accept_contact(value)]
    unwanted = [predicate for value in reject for predicate in parse_reject_contact(value)]
    for predicates in (wanted, unwanted):
        if len(predicates) > MOST_PREDICATES:
            raise MalformedSip(predicates[0].header, f"more than {MOST_PREDICATES} values")
    implicit = not wanted and not unwanted
    if implicit:
        wanted = [_implicit_preference(method, event)]
    verdicts = [_judge(target, wanted, unwanted) for target in targets]
    if implicit and not any(verdict.kept for verdict in verdicts):
        verdicts = [_kept_after_all(verdict) for verdict in verdicts]
    verdicts.sort(key=_preference)
    return Matching(tuple(verdicts), implicit, _problems(targets, [*wanted, *unwanted]))


def _implicit_preference(method: str, event: str | None) -> Predicate:
    """RFC 3841 7.2.2: the method, and for a SUBSCRIBE its package; required, not explicit."""
    params = [("methods", method)]
    if method == "SUBSCRIBE" and event is not None:
        params.append(("events", event.partition(";")[0].strip()))
    text = "".join(f';{name}="{value}"' for name, value in params)
    return Predicate("implicit preference", f"*{text};require", FeatureSet.of(tuple(params)), require=True)


def _judge(target: Target, wanted: Sequence[Predicate], unwanted: Sequence[Predicate]) -> Verdict:
    if not target.features.features:
        reason = "kept: it has no feature tags, so no preference applies to it"
        return Verdict(target, True, 1.0, (reason,))
    for predicate in unwanted:
        if _is_rejected(target, predicate):
            return Verdict(target, False, 0.0, (f"dropped: {predicate}: it fits every tag",))
    scores, reasons = [], []
    for predicate in wanted:
        opinion = _opinion(target, predicate)
        if not opinion.keeps:
            return Verdict(target, False, 0.0, (f"dropped: {predicate}: {opinion.words}",))
        reasons.append(f"kept: {predicate}: {opinion.words}")
        if opinion.score is not None:
            scores.append(opinion.score)
    # exact, so that the order of the values cannot make a difference
    mean = fsum(scores) / len(scores) if scores else 0.0
    return Verdict(target, True, mean, tuple(reasons) or ("kept: no Reject-Contact applies to it",))


def _is_rejected(target: Target, predicate: Predicate) -> bool:
    """A tag of which nothing is known rejects nobody, and neither does a value without tags."""
    asked = predicate.features.features
    known = target.features.features
    return bool(asked) and all(tag in known and asked[tag].overlaps(known[tag]) for tag in asked)


def _opinion(target: Target, predicate: Predicate) -> _Opinion:
    asked = predicate.features.features
    known = target.features.features
    if not asked:
        return _Opinion(True, None, "names no feature tag, so it asks nothing")
    for tag, feature in asked.items():
        if tag in known and not feature.overlaps(known[tag]):
            words = f"tag {tag} is {_shown(known[tag])}"
            if predicate.require:
                return _Opinion(False, None, words)
            return _Opinion(True, None, f"{words}, which was not required")
    absent = [tag for tag in asked if tag not in known]
    if not absent:
        return _Opinion(True, 1.0, "fits, score 1")
    silence = f"it does not say {', '.join(absent)}"
    if predicate.explicit:
        return _Opinion(not predicate.require, 0.0, silence if predicate.require else f"{silence}, score 0")
    present = len(asked) - len(absent)
    return _Opinion(True, present / len(asked), f"{silence}, score {present}/{len(asked)}")


def _shown(feature: Feature) -> str:
    text = shortened(feature.text)
    return text if isinstance(feature.values, bool) else f'"{text}"'


def _kept_after_all(verdict: Verdict) -> Verdict:
    why = verdict.reasons[0].removeprefix("dropped: ")
    reason = f"kept: nobody fits, and the caller stated no preference ({why})"
    return Verdict(verdict.target, True, 0.0, (reason,))


def _preference(verdict: Verdict) -> tuple[bool, float, float]:
    if not verdict.kept:
        return True, 0.0, 0.0
    q = UNSTATED_Q if verdict.target.q is None else verdict.target.q
    return False, -q, -verdict.score


def _problems(targets: Sequence[Target], predicates: Sequence[Predicate]) -> tuple[str, ...]:
    sets = [*(predicate.features for predicate in predicates), *(target.features for target in targets)]
    return tuple(dict.fromkeys(problem for features in sets for problem in features.problems))
