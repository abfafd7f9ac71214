"""
Alarms: the catalogue of what may be wrong, and when one is raised and cleared.

An alarm is about a kind of trouble (a name of the catalogue) and a subject: a node, a next hop, a file, or
nothing when there is only one of it. Severities are those of ITU-T X.733.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final, Literal, NamedTuple

Severity = Literal["critical", "major", "minor", "warning"]
SEVERITIES: Final[tuple[Severity, ...]] = ("critical", "major", "minor", "warning")

AlarmKey = tuple[str, str]
"Name and subject of an alarm."

MOST_STANDING: Final = 200
"Alarms that may stand at one time; who makes up subjects fills nothing."


class Kind(NamedTuple):
    """One kind of trouble, as the catalogue in docs/alarms.md has it."""

    name: str
    severity: Severity
    about: str
    "What its subject is; empty: it has none."
    cause: str
    effect: str
    action: str
    raise_after: int = 2
    "It is raised when so many looks in a row saw it."
    clear_after: int = 3
    "It is cleared when so many looks in a row did not see it."


_NEW_CERTIFICATE: Final = (
    "Put a new certificate in its place: the api uses it within 10 s, `omapush sip` after `omapush reload`, "
    "others after a restart."
)
_KINDS: Final = (
    Kind(
        "store-away",
        "critical",
        "",
        "Redis does not answer, or says that it cannot serve now.",
        "Pushes and REGISTERs get 503. Nothing is lost and nothing moves.",
        "Start Redis, or mend the way to it; `omapush doctor` names the address.",
    ),
    Kind(
        "alarms-unwatched",
        "critical",
        "",
        "No notifier keeps the alarms.",
        "Nobody sees what is wrong; retries and result notifications do not happen.",
        "Start `omapush notifier` on each node.",
    ),
    Kind(
        "store-not-persistent",
        "critical",
        "",
        "Redis runs without its append-only file, or could not write it the last time.",
        "Accepted pushes are lost when Redis ends.",
        "Set `appendonly yes`; make room on its disk.",
    ),
    Kind(
        "store-evicts",
        "major",
        "",
        "`maxmemory-policy` of Redis is not `noeviction`.",
        "A full Redis throws away pushes and registrations instead of refusing new ones.",
        "Set `maxmemory-policy noeviction`, in redis.conf too.",
    ),
    Kind(
        "store-nearly-full",
        "major",
        "",
        "Redis has used nine tenths of its `maxmemory`.",
        "At the limit pushes and REGISTERs get 503.",
        "More memory, or a shorter `delivery.retention_s`.",
    ),
    Kind(
        "shard-without-owner",
        "critical",
        "",
        "No sender process holds some user shards.",
        "Pushes to the users of these shards wait.",
        "Start `omapush sip` on a node; if it runs, look into its log.",
    ),
    Kind(
        "sip-down",
        "critical",
        "node",
        "Kamailio of this node does not answer an OPTIONS.",
        "The node sends nothing and captures no registrations; others take over its users.",
        "Start `omapush sip`; its log says why it ended.",
    ),
    Kind(
        "sip-memory-low",
        "major",
        "node",
        "Less than a tenth of Kamailio's shared memory is free.",
        "SIP requests fail for want of memory.",
        "Make `sip.shared_memory_mb` larger or `sip.window` smaller.",
    ),
    Kind(
        "api-down",
        "critical",
        "node",
        "The api of this node does not answer `/healthz`.",
        "Push initiators that are sent to this node cannot submit anything.",
        "Start `omapush api`; its log says why it ended.",
    ),
    Kind(
        "node-silent",
        "major",
        "node",
        "The notifier of a node gives no sign of life, and was not ended by an operator.",
        "Other notifiers do its work; what else is wrong on that node is not seen.",
        "Start `omapush notifier` there. A node that does not come back is forgotten after an hour.",
        clear_after=1,
    ),
    Kind(
        "next-hop-down",
        "major",
        "next hop",
        "An S-CSCF or other next hop answers no push any more.",
        "Pushes by way of it are tried again by plan, or at its further addresses.",
        "Look at the S-CSCF and at the network between; `core.addresses` gives it further addresses.",
        raise_after=1,
    ),
    Kind(
        "next-hop-paused",
        "minor",
        "next hop",
        "A next hop answered 503 to several users and is left alone for a while.",
        "Pushes by way of it wait, and then leave more slowly.",
        "Is it overloaded? `core.hop_rate` bounds what is sent there.",
        raise_after=1,
    ),
    Kind(
        "oldest-waiting",
        "major",
        "",
        "A push that could leave has waited longer than `alarms.waiting_s`.",
        "Pushes come late.",
        "More senders or nodes, or find what slows them: next hops, Redis, processors.",
    ),
    Kind(
        "outbox-nearly-full",
        "major",
        "",
        "The outbox holds eight tenths of `api.max_waiting`; it is over again below seven tenths.",
        "At the bound new pushes get 503.",
        "Find out why pushes do not leave, or raise `api.max_waiting` if Redis has the memory.",
    ),
    Kind(
        "work-overdue",
        "major",
        "",
        "Deliveries that a crash left are not taken up again for half a minute.",
        "Retries, expiry and result notifications do not happen.",
        "Look into the log of `omapush notifier` on each node.",
    ),
    Kind(
        "notifications-late",
        "minor",
        "",
        "A result is owed to its initiator for longer than `alarms.owed_s`.",
        "Initiators learn results late, or never when `notify.give_up_s` passes.",
        "See `initiator-failing`; without it, `notify.concurrency` may be too small.",
    ),
    Kind(
        "initiator-failing",
        "minor",
        "initiator",
        "An initiator took none of the last five notifications or more. It ends with one that is taken, or "
        "when nothing was tried for twice `notify.longest_retry_s`.",
        "It does not learn its results; they are tried again for `notify.give_up_s`.",
        "Tell the initiator; `omapush push explain` of one of its pushes has its answer.",
    ),
    Kind(
        "clock-differs",
        "major",
        "node",
        "The clock of a node differs from that of Redis by more than half a second.",
        "Retries and expiry come at the wrong time; results show wrong times.",
        "Run NTP on that machine and on that of Redis.",
    ),
    Kind(
        "certificate-expired",
        "critical",
        "file and node",
        "A certificate that we show is not valid any more.",
        "Peers refuse our TLS connections.",
        _NEW_CERTIFICATE,
    ),
    Kind(
        "certificate-expires",
        "warning",
        "file and node",
        "A certificate that we show runs out within `alarms.certificate_days`, or cannot be read.",
        "After that day peers refuse our TLS connections.",
        _NEW_CERTIFICATE,
    ),
    Kind(
        "audit-broken",
        "critical",
        "node",
        "The audit record cannot be written, or its last line is not an entry.",
        "With `audit.required` nothing more is taken; without it, deeds are missing from the record.",
        "Make room or rights; see `omapush audit verify`. Move a foreign file away.",
    ),
    Kind(
        "records-late",
        "major",
        "",
        "Event data records are not written a minute after `records.delay_s`.",
        "Results wait in Redis for their records; of very many, or after a week, the oldest are lost.",
        "`records_not_written` in the log of the notifiers says why; at least one needs `records.folder`.",
    ),
    Kind(
        "disk-nearly-full",
        "major",
        "folder and node",
        "A disk that we write to has less free than `alarms.disk_percent`.",
        "Redis stops taking pushes when it cannot write; audit and event data records fail.",
        "Make room, or move the folder.",
    ),
    Kind(
        "media-worker-missing",
        "major",
        "",
        "No media worker lives, though `sessions.enabled` is true.",
        "Pushes that need a session are tried again by plan, and then end.",
        "Start `omapush msrp`.",
    ),
    Kind(
        "media-workers-full",
        "warning",
        "",
        "All media workers carry as many contents as they may.",
        "Further pushes that need a session are tried again by plan.",
        "More workers (`msrp.workers`), or more `msrp.streams`.",
    ),
)

CATALOGUE: Final[Mapping[str, Kind]] = {kind.name: kind for kind in _KINDS}
"All kinds of alarms, by name."


class Condition(NamedTuple):
    """Something that is wrong at the moment, as one look saw it."""

    name: str
    subject: str
    text: str
    "What was found, with figures."


class Alarm(NamedTuple):
    """One alarm that stands."""

    version: int
    name: str
    subject: str
    severity: str
    text: str
    "What was found last, with figures."
    raised_ms: int
    seen_ms: int
    "When it was seen last."

    @property
    def key(self) -> AlarmKey:
        """What there is one alarm of."""
        return self.name, self.subject

    @property
    def kind(self) -> Kind | None:
        """Its row of the catalogue; None: one of another release."""
        return CATALOGUE.get(self.name)


class AlarmChange(NamedTuple):
    """One alarm raised or cleared."""

    version: int
    at_ms: int
    is_raised: bool
    "False: it was cleared."
    alarm: Alarm


class Watched(NamedTuple):
    """What the process that keeps the alarms remembers from look to look."""

    standing: dict[AlarmKey, Alarm]
    seen: dict[AlarmKey, int]
    "Of what is seen and not raised yet: looks in a row."
    unseen: dict[AlarmKey, int]
    "Of what stands and is not seen: looks in a row."


def begin(standing: Iterable[Alarm]) -> Watched:
    """Return what to remember when alarms stand already: those that another process raised."""
    return Watched({alarm.key: alarm for alarm in standing}, {}, {})


def look(
    before: Watched, conditions: Iterable[Condition], now_ms: int, *, unknown: Iterable[str] = ()
) -> tuple[Watched, list[AlarmChange]]:
    """
    Return what to remember after one look, and what was raised or cleared by it.

    Nothing is raised by one look and cleared by the next: the catalogue says how many each takes. Alarms with
    a name in `unknown` could not be looked for; they stay as they are.
    """
    found = {(one.name, one.subject): one for one in conditions}
    blind = set(unknown)
    standing, seen, unseen = dict(before.standing), {}, {}
    changes: list[AlarmChange] = []
    for key, condition in found.items():
        kind = CATALOGUE[condition.name]
        looks = before.seen.get(key, 0) + 1
        if key in standing:
            standing[key] = standing[key]._replace(text=condition.text, seen_ms=now_ms)
        elif looks >= kind.raise_after and len(standing) < MOST_STANDING:
            raised = Alarm(1, *key, kind.severity, condition.text, now_ms, now_ms)
            standing[key] = raised
            changes.append(AlarmChange(1, now_ms, True, raised))
        else:
            seen[key] = looks
    for key, alarm in before.standing.items():
        if key in found:
            continue
        of_catalogue = alarm.kind
        looks = before.unseen.get(key, 0) + (0 if alarm.name in blind else 1)
        if of_catalogue is None or looks >= of_catalogue.clear_after:
            del standing[key]
            changes.append(AlarmChange(1, now_ms, False, alarm))
        else:
            unseen[key] = looks
    return Watched(standing, seen, unseen), changes


def at_sight(name: str, text: str, now_ms: int) -> Alarm:
    """Return an alarm that whoever reads the alarms sees by itself: nobody could have stored it."""
    return Alarm(1, name, "", CATALOGUE[name].severity, text, now_ms, now_ms)


def by_severity(alarms: Iterable[Alarm]) -> list[Alarm]:
    """Return alarms as people want them: the worst first, of these the newest first."""
    order: Mapping[str, int] = {name: place for place, name in enumerate(SEVERITIES)}
    return sorted(alarms, key=lambda one: (order.get(one.severity, len(order)), -one.raised_ms, one.key))
