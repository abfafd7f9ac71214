"""
A watch: our subscription to one event package of one user as a value, and the states that it goes through.

The rules that move it are in watch_rules.py. `due_ms` says when its owner has to look at it again; 0: not
before the next REGISTER of the user. A subscription that a hosted application has at a sender of pushes is a
watch, too: of the sender, and of a package of its own for each application.
"""

from __future__ import annotations

import hashlib
import re
from typing import Final, Literal, NamedTuple

from omapush.push import dialog as dialogs
from omapush.push.dialog import Dialog
from omapush.push.registration import Report
from omapush.push.subscribe import PACKAGE as UA_PROFILE
from omapush.push.values import target

RECORD_VERSION: Final = 1
Package = str
"REG, PRESENCE, or what `content_package` returns for a hosted application."
REG: Final = "reg"
"Who is registered (RFC 3680)."
PRESENCE: Final = "presence"
"What the user's services can do (RFC 3856)."
NO_DIALOG: Final = Dialog("", "", "", "", "", 0, dialogs.NOT_HEARD, "", ())
NO_VERSION: Final = -1
_LEAST_REFRESH_MS: Final = 1_000
"However short a subscription is granted."
_LONGEST_RETRY_AFTER_S: Final = 86_400

_CONTENT: Final = re.compile(r"c[0-9a-f]{16}")
# target, package unless it is reg, token                 call_id_start, watch_rules.next_request
_CALL: Final = re.compile(r"([0-9a-f]{16})-(?:(presence|c[0-9a-f]{16})-)?[0-9a-f]{1,32}(?:@|$)")

State = Literal["asking", "active", "resting", "waiting"]
Identity = Literal["as", "user"]
IdentityRule = Literal["as", "user", "as-then-user"]
Full = Literal["", "wanted", "asked"]


class Subject(NamedTuple):
    """What one watch is about."""

    aor: str
    package: Package


class Place(NamedTuple):
    """Which watch it is: what its key and its Call-IDs are made of."""

    target: str
    package: Package


class Watch(NamedTuple):
    """The subscription to one event package of one user."""

    version: int
    aor: str
    package: Package
    state: State
    """
    `asking`: SUBSCRIBE sent, no NOTIFY yet; `active`; `resting`: failed, tried again when due; `waiting`: for
    the next REGISTER.
    """
    dialog: Dialog
    s_cscf: str
    "Where the dialog leads."
    identity: Identity
    "Who P-Asserted-Identity names: us, or the watched user."
    expires_ms: int
    "End of the subscription as granted; 0: none."
    asked_ms: int
    "When the SUBSCRIBE without a final answer was sent; 0: none is under way."
    attempts: int
    "Failures in a row."
    due_ms: int
    doc_version: int
    "Version of the last document of this dialog; NO_VERSION: none yet, or the package has none."
    full: Full
    """
    Whether full state is `wanted`, or was `asked` for by a refresh: one that brings none is followed by a new
    dialog, for some S-CSCFs send no NOTIFY on a refresh.
    """
    min_expires_s: int
    "What a 423 asked for; 0: nothing."
    why: str
    "How it came to this state, for people."
    at_ms: int


class Plan(NamedTuple):
    """What configuration says about watching one package."""

    sender_uri: str
    sent_by: str
    "Host and port of our listener: the Contact."
    ioi: str
    identity: IdentityRule
    expires_s: int
    first_retry_ms: int
    longest_retry_ms: int
    event: str = REG
    "What is asked for: the Event with its parameters."
    headers: tuple[str, ...] = ("Accept: application/reginfo+xml",)
    "Further lines of each SUBSCRIBE."
    standing: bool = False
    "Configuration asks for it: nobody has to be registered, and no REGISTER will begin it anew."


class Core(NamedTuple):
    """What was learnt about one S-CSCF."""

    identity: str = ""
    "Identity that it took; empty: not known."
    push_tags: bool = False
    "Its reginfo was seen with push tags, so that a missing one means withdrawn."


def wanted(aor: str, now_ms: int, package: Package = REG) -> Watch:
    """Return the watch of a user who is not watched yet."""
    return Watch(
        version=RECORD_VERSION,
        aor=aor,
        package=package,
        state="waiting",
        dialog=NO_DIALOG,
        s_cscf="",
        identity="as",
        expires_ms=0,
        asked_ms=0,
        attempts=0,
        due_ms=0,
        doc_version=NO_VERSION,
        full="",
        min_expires_s=0,
        why="never asked",
        at_ms=now_ms,
    )


def is_wanted(report: Report) -> bool:
    """
    Tell whether the user of a REGISTER is to be watched.

    A tel identity is not where the REGISTER names a sip identity of the same implicit set: one reg event
    tells of all identities of a set, and a core may not route a tel Request-URI.
    """
    registers = report.expires_s > 0 or any(contact.expires != 0 for contact in report.contacts)
    by_another = report.aor.startswith("tel:") and any(
        uri.startswith(("sip:", "sips:")) for uri in report.associated
    )
    return registers and not by_another


def place_of(subject: Subject) -> Place:
    """Return which watch is about the subject."""
    return Place(target(subject.aor), subject.package)


def place_of_call(call_id: str) -> Place | None:
    """Return which watch a Call-ID, with or without its host, belongs to; None: it is none of ours."""
    found = _CALL.match(call_id)
    if found is None:
        return None
    return Place(found[1], found[2] or REG)


def content_package(application: str) -> Package:
    """Return under which package the subscriptions of a hosted application stand."""
    return f"c{hashlib.blake2s(application.encode(), digest_size=8).hexdigest()}"


def is_content(package: Package) -> bool:
    """Tell whether a package is that of a hosted application: its NOTIFYs bring pushes."""
    return _CONTENT.fullmatch(package) is not None


def event_of(package: Package) -> str:
    """Return the Event that NOTIFYs of a package have."""
    return UA_PROFILE if is_content(package) else package


def call_id_start(subject: Subject) -> str:
    """Return how our Call-IDs about a subject begin: a NOTIFY leads to its watch by it."""
    package = "" if subject.package == REG else f"{subject.package}-"
    return f"{target(subject.aor)}-{package}"


def call_of(call_id: str) -> str:
    """Return the part of our Call-ID that tells our dialogs apart: all but the host."""
    return call_id.partition("@")[0]


def again_later(watch: Watch, plan: Plan, jitter: float, retry_s: int | None, why: str, now_ms: int) -> Watch:
    """
    Return the watch after a failure: tried again after a wait that doubles, but never before `retry_s`.

    A subscription that still lives is then refreshed, else a new one begins.
    """
    wait_ms = min(plan.first_retry_ms * 2 ** min(watch.attempts, 30), plan.longest_retry_ms)
    wait_ms = max(int(wait_ms * (0.5 + jitter / 2)), min(retry_s or 0, _LONGEST_RETRY_AFTER_S) * 1000)
    later = watch._replace(attempts=watch.attempts + 1, due_ms=now_ms + wait_ms, why=why, at_ms=now_ms)
    if watch.state == "active" and watch.expires_ms > now_ms:
        return later
    return resting(later)


def resting(watch: Watch) -> Watch:
    """Return the watch without its dialog; when it is due stays."""
    return watch._replace(
        state="resting", dialog=NO_DIALOG, expires_ms=0, doc_version=NO_VERSION, asked_ms=0, full=""
    )


def wait_for_register(watch: Watch, why: str, now_ms: int) -> Watch:
    """Return the watch that does nothing more until the user's next REGISTER."""
    rested = resting(watch)
    return rested._replace(state="waiting", identity="as", attempts=0, due_ms=0, why=why, at_ms=now_ms)


def give_up(watch: Watch, plan: Plan, jitter: float, why: str, now_ms: int) -> Watch:
    """
    Return the watch after a refusal that the same SUBSCRIBE would get again.

    It waits for the next REGISTER. What configuration asks for has none to wait for: the longest pause.
    """
    if not plan.standing:
        return wait_for_register(watch, why, now_ms)
    return again_later(resting(watch), plan, jitter, plan.longest_retry_ms // 1000, why, now_ms)


def active(watch: Watch, granted_s: int, jitter: float, now_ms: int) -> Watch:
    """Return the watch that goes on for `granted_s` and is refreshed before."""
    return watch._replace(
        state="active",
        expires_ms=now_ms + granted_s * 1000,
        attempts=0,
        due_ms=now_ms + refresh_in_ms(granted_s * 1000, jitter),
        why="",
        at_ms=now_ms,
    )


def refresh_in_ms(left_ms: int, jitter: float) -> int:
    """Return in how many ms to refresh: when 80 to 90 % of the time has gone, so that repeats fit in."""
    return max(int(left_ms * (0.8 + jitter / 10)), _LEAST_REFRESH_MS)
