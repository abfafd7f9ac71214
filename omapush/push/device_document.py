"""
What a device is told of who may push to it: the rules of `[policy.NAME]` as the whitelist that it can hold.

A whitelist only names what may come. So the document names everything that the rules let through at some time
to this user, and where a list cannot leave out what a rule denies, the server alone denies it: a device that
obeys the document never refuses what the server sends.
"""

from __future__ import annotations

import base64
import binascii
import fnmatch
import hashlib
import hmac
import re
from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from omapush.protocol.push_mo import TrustedApplication, TrustedSender
from omapush.push.policy import LAYERS, Rule

_PATTERN: Final = re.compile(r"[*?\[]")
_OTHER: Final = "x-other.x-other"
"An application that no rule and no account names."
_OTHER_TYPE: Final = "x-other/x-other"
_MAC: Final = 16
_LONGEST: Final = 1024
"Characters of a token."


class Sender(NamedTuple):
    """An initiator, and as whom devices see it."""

    name: str
    identity: str
    "What P-Asserted-Identity says of its pushes."
    applications: tuple[str, ...]
    "That its account may push to: shell patterns."
    recipients: tuple[str, ...]
    "Shell patterns over addresses of record."


def trusted_senders(
    rules: Sequence[Rule], senders: Iterable[Sender], aor: str, applications: Iterable[str]
) -> tuple[TrustedSender, ...]:
    """Return what the device of a user may take; `applications` are those that have a profile here."""
    known = set(applications)
    by_identity: dict[str, dict[str, frozenset[str] | None]] = {}
    for sender in senders:
        if not any(fnmatch.fnmatchcase(aor, pattern) for pattern in sender.recipients):
            continue
        allowed = _allowed(rules, sender, aor, known)
        if allowed:
            _join(by_identity.setdefault(sender.identity, {}), allowed)
    return tuple(TrustedSender(identity, _listed(found)) for identity, found in by_identity.items())


def _allowed(
    rules: Sequence[Rule], sender: Sender, aor: str, known: set[str]
) -> dict[str, frozenset[str] | None]:
    """Application to content types, None for all; the empty name is every application not named."""
    of_user = (rule for rule in rules if _matches(rule.recipients, aor))
    mine = [rule for rule in of_user if _matches(rule.initiators, sender.name)]
    named = known.union(sender.applications, *(rule.applications for rule in mine))
    found: dict[str, frozenset[str] | None] = {}
    for name in sorted(name for name in named if not _PATTERN.search(name)):
        types = _types(mine, name) if _matches(sender.applications, name) else frozenset()
        if types is None or types:
            found[name] = types
    if any(_PATTERN.search(pattern) for pattern in sender.applications):
        types = None if _is_opened_by_pattern(mine) else _types(mine, _OTHER)
        if types is None or types:
            found[""] = types
    return found


def _is_opened_by_pattern(rules: Sequence[Rule]) -> bool:
    """Tell whether applications that only a pattern names may be allowed, which a list cannot say."""
    names = (name for rule in rules if rule.allows for name in rule.applications)
    return any(name != "*" and _PATTERN.search(name) for name in names)


def _types(rules: Sequence[Rule], application: str) -> frozenset[str] | None:
    """Return the media ranges of an application that may come at some time; None: all."""
    mine = [rule for rule in rules if _matches(rule.applications, application)]
    if _may_pass(mine, _OTHER_TYPE):
        return None
    named = {one.lower() for rule in mine if rule.allows for one in rule.content_types if one != "*"}
    return frozenset(_media_range(one) for one in named if _may_pass(mine, one))


def _may_pass(rules: Sequence[Rule], media: str) -> bool:
    """Tell whether content of a type, or some of a pattern, passes all layers at some time of day."""
    for layer in LAYERS:
        for rule in rules:
            if rule.layer != layer or not _overlaps(rule, media):
                continue
            if rule.allows:
                break
            if rule.hours is None and _matches(rule.content_types, media):
                return False
    return True


def _overlaps(rule: Rule, media: str) -> bool:
    return any(
        fnmatch.fnmatchcase(media, pattern) or fnmatch.fnmatchcase(pattern, media)
        for pattern in rule.content_types
    )


def _media_range(pattern: str) -> str:
    """The narrowest `type/subtype`, `type/*` or `*/*` that holds all of a shell pattern."""
    if not _PATTERN.search(pattern):
        return pattern
    whole = pattern.partition("/")[0]
    return f"{whole}/*" if "/" in pattern and not _PATTERN.search(whole) else "*/*"


def _matches(patterns: Iterable[str], text: str) -> bool:
    return any(pattern == "*" or fnmatch.fnmatchcase(text, pattern) for pattern in patterns)


def _join(into: dict[str, frozenset[str] | None], more: dict[str, frozenset[str] | None]) -> None:
    """Add what another initiator of the same identity may do."""
    for name, types in more.items():
        had = into.get(name, frozenset())
        into[name] = None if types is None or had is None else had | types


def _listed(found: dict[str, frozenset[str] | None]) -> tuple[TrustedApplication, ...]:
    if "" in found and found[""] is None:
        return ()  # what may come for any application may come for those with a name
    return tuple(
        TrustedApplication(name, tuple(sorted(types or ()))) for name, types in sorted(found.items())
    )


# Where the device fetches it ---------------------------------------------------------------------


def token_of(aor: str, key: bytes) -> str:
    """Return the name under which the document of a user is served: nobody without the key can make it."""
    packed = aor.encode()
    return base64.urlsafe_b64encode(_mac(packed, key) + packed).decode().rstrip("=")


def aor_of(token: str, key: bytes) -> str:
    """Return whose document a token names; empty when it is not genuine."""
    if len(token) > _LONGEST or not token.isascii():
        return ""
    try:
        data = base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True)
        aor = data[_MAC:].decode()
    except (binascii.Error, ValueError):
        return ""
    return aor if aor and hmac.compare_digest(data[:_MAC], _mac(data[_MAC:], key)) else ""


def _mac(packed: bytes, key: bytes) -> bytes:
    bounded = hashlib.sha256(key).digest()
    return hashlib.blake2s(packed, key=bounded, digest_size=_MAC, person=b"pushwl").digest()
