"""
Names of all keys, one function each; `schema/keys.md` is the table for people.

Everything about a push carries the tag of the push's shard, everything about a user that of the user's
shard, so that each group lives in one slot of a Redis Cluster.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import lru_cache

from omapush.push.values import TARGET_LENGTH, target

SENDERS = "senders"
"Sorted set of live sender processes, scored by the last sign of life in ms."
LIST_OWNERS = "list-owners"
"Set of initiators that ever had a distribution list."
HOSTED_SERVED = "hosted-served"
"Hash of hosted applications to when a notifier last told of serving their back ends, in ms."
PROFILE_QUEUE = "uaprof-due"
"Sorted set of UAProf URLs to be fetched, scored by when, in ms."

ALARM_KEEPER = "alarm-keeper:{alarms}"
"The notifier that keeps the alarms."
ALARM_STANDING = "alarm-standing:{alarms}"
"Hash of the alarms that stand."
ALARM_HISTORY = "alarm-history:{alarms}"
"Sorted set of alarms raised and cleared, scored by when, in ms."
ALARM_NODES = "alarm-nodes:{alarms}"
"Hash of what the notifier of each node sees of its node."
REFUSED = "refused"
"Number of submissions that apis with a console have refused."
LOCK_OUTS = "lock-outs"
"Sorted set of what is locked after wrong passwords, scored by until when, in ms."
LIFTED = "lock-outs-lifted"
"Sorted set of what an operator has lifted of that, scored by when, in ms."
TRACING = "tracing"
"Hash of what operators asked to have traced."

MSRP_WORKERS = "msrp-workers"
"Set of the names of media workers, dead ones among them until somebody looks."

PROCESSES = "processes"
"Set of the names of our processes, dead ones among them until somebody looks."


@dataclass(frozen=True, slots=True)
class Layout:
    """How many slots there are; fixed by configuration once there is data."""

    user_shards: int
    push_shards: int

    def push_shard(self, ref: str) -> int:
        """Return the shard of a push."""
        return _slot(ref, self.push_shards)

    def user_shard(self, aor: str) -> int:
        """Return the shard of a user."""
        return _user_slot(aor, self.user_shards)

    def ticket_shard(self, ticket: str) -> int:
        """Return the user shard in whose outbox the ticket is; a ticket begins with its target."""
        return _slot(ticket[:TARGET_LENGTH], self.user_shards)

    def target_shard(self, name: str) -> int:
        """Return the user shard of anything whose name begins with a target."""
        return _slot(name[:TARGET_LENGTH], self.user_shards)


def _slot(hexadecimal: str, shards: int) -> int:
    """Refs and targets are hash values already: some of their digits are enough."""
    return int(hexadecimal[:8], 16) % shards


def node_metrics(node: str) -> str:
    """Metrics of the notifier of one node; in a slot of its own."""
    return f"notifier-metrics:{node}"


@lru_cache(maxsize=4_096)  # asked several times about each user of a batch
def _user_slot(aor: str, shards: int) -> int:
    return _slot(target(aor), shards)


def push(shard_number: int, ref: str) -> str:
    """Hash of one push."""
    return f"push:{{p{shard_number}}}:{ref}"


def quota(shard_number: int) -> str:
    """How many deliveries of initiators with limits were stored in a push shard, and how many are final."""
    return f"quota:{{p{shard_number}}}"


def totals(shard_number: int) -> str:
    """How many deliveries of a push shard were accepted, and how many ended in each state."""
    return f"totals:{{p{shard_number}}}"


def records(shard_number: int) -> str:
    """Results of a push shard whose event data records are to be written."""
    return f"records:{{p{shard_number}}}"


def recorder(shard_number: int) -> str:
    """The notifier that writes the event data records of a push shard."""
    return f"recorder:{{p{shard_number}}}"


def limits(initiator: str) -> str:
    """What one initiator with limits has submitted; in a slot of its own."""
    return f"limits:{initiator}"


def guesses(kind: str, value: str) -> str:
    """How many wrong passwords came from an address, or for an account; in a slot of its own."""
    return f"guesses:{kind}:{value}"


def usual(initiator: str) -> str:
    """Where one account usually comes in from; in a slot of its own."""
    return f"usual:{initiator}"


def push_log(shard_number: int, ref: str) -> str:
    """Event log of one push."""
    return f"log:{{p{shard_number}}}:{ref}"


def trace(shard_number: int, ref: str) -> str:
    """SIP messages of one traced push."""
    return f"trace:{{p{shard_number}}}:{ref}"


def trace_due(shard_number: int) -> str:
    """Pushes whose spans are to be made."""
    return f"trace-due:{{p{shard_number}}}"


def handover(shard_number: int) -> str:
    """Pushes whose deliveries may not be in the outbox yet."""
    return f"handover:{{p{shard_number}}}"


def notify(shard_number: int) -> str:
    """Results owed to push initiators."""
    return f"notify:{{p{shard_number}}}"


def fetches(shard_number: int) -> str:
    """Recipients who have a link and whose fetch is waited for."""
    return f"fetches:{{p{shard_number}}}"


def push_counted(shard_number: int, ref: str) -> str:
    """Which deliveries of a push to subscribers are counted, a bit for each."""
    return f"counted:{{p{shard_number}}}:{ref}"


def content(shard_number: int, ref: str) -> str:
    """Content of one push, in pieces."""
    return f"content:{{p{shard_number}}}:{ref}"


@lru_cache(maxsize=4096)
def prefixes_of_push(shard_number: int) -> tuple[str, str, str, str]:
    """What stands before a push's ref in the names of it, its event log, what is counted, and its content."""
    whose = (shard_number, "")
    return push(*whose), push_log(*whose), push_counted(*whose), content(*whose)


def upload(shard_number: int, name: str) -> str:
    """Content of a push that is not accepted yet, in pieces."""
    return f"upload:{{p{shard_number}}}:{name}"


def own(shard_number: int, initiator: str) -> str:
    """Pushes of one initiator, by when they were accepted."""
    return f"own:{{p{shard_number}}}:{initiator}"


def push_staged(shard_number: int, name: str) -> str:
    """Recipients that wait to become a push."""
    return f"staged:{{p{shard_number}}}:{name}"


def registration(shard_number: int, aor: str) -> str:
    """Registration record of one address of record."""
    return f"reg:{{u{shard_number}}}:{aor}"


def alias(shard_number: int, identity: str) -> str:
    """SIP identity of the implicit set that the tel identity belongs to."""
    return f"alias:{{u{shard_number}}}:{identity}"


def outbox(shard_number: int, part: str) -> str:
    """
    One structure of a user shard's outbox.

    `part`: owner, delivery, attempts, repeats, busy, ready, waiting, taken, later, expiry, held, told,
    backlog, halted, parked, stopped, withdrawn, untold, newest or aging; what each holds is in
    schema/functions/outbox.lua.
    """
    return f"{part}:{{u{shard_number}}}"


def turns(shard_number: int, target_name: str, application: str) -> str:
    """Turns of the pushes of one application to one user."""
    return f"turns:{{u{shard_number}}}:{target_name}:{application}"


def user_pushes(shard_number: int, target_name: str) -> str:
    """The newest pushes to one user."""
    return f"user-pushes:{{u{shard_number}}}:{target_name}"


def fan_outs(shard_number: int, part: str) -> str:
    """
    One structure of the fan-outs of a user shard.

    `part`: fanout, fanning or fanned; what each holds is in schema/functions/fanouts.lua.
    """
    return f"{part}:{{u{shard_number}}}"


def referral(shard_number: int, referral_id: str) -> str:
    """Our request to one user's device to subscribe to one application."""
    return f"refer:{{u{shard_number}}}:{referral_id}"


def session(shard_number: int, session_id: str) -> str:
    """One session that carries large pushes to a user, by its id, which begins with the user's target."""
    return f"session:{{u{shard_number}}}:{session_id}"


def session_part(shard_number: int, part: str) -> str:
    """
    One structure of a user shard's sessions.

    `part`: of, live or due; what each holds is in schema/functions/sessions.lua.
    """
    return f"session-{part}:{{u{shard_number}}}"


def capabilities(shard_number: int, target_name: str) -> str:
    """What is known of the devices of one user, by target."""
    return f"cap:{{u{shard_number}}}:{target_name}"


def subscription(shard_number: int, subscription_id: str) -> str:
    """One subscription of a device, by its id, which begins with the user's target."""
    return f"sub:{{u{shard_number}}}:{subscription_id}"


def subscriptions_of(shard_number: int, profile: str, application: str) -> str:
    """Ids of one application's subscriptions (profile `oma-app`), or of all device profiles."""
    return f"subs:{{u{shard_number}}}:{profile}:{application}"


def subscription_part(shard_number: int, part: str) -> str:
    """
    One structure of a user shard's subscriptions.

    `part`: expiry, owed, cseq, flight or kinds; what each holds is in schema/functions/subscriptions.lua.
    """
    return f"sub-{part}:{{u{shard_number}}}"


def hosted(shard_number: int, part: str, application: str) -> str:
    """
    One structure of what a user shard has for one hosted application.

    `part`: push, state, due, open, failed or stream; what each holds is in schema/functions/hosted.lua.
    """
    return f"hosted-{part}:{{u{shard_number}}}:{application}"


def hosted_seen(shard_number: int, name: str) -> str:
    """A push that came for a hosted application, by request or by its sender's name for it."""
    return f"hosted-seen:{{u{shard_number}}}:{name}"


def hosted_verdicts(waiter: str) -> str:
    """What back ends said while one SIP process waits for it; in a slot of its own."""
    return f"hosted-verdicts:{waiter}"


def msrp_worker(name: str) -> str:
    """Record of one live media worker; in a slot of its own."""
    return f"msrp-worker:{name}"


def msrp_told(name: str) -> str:
    """Sessions that one media worker is to look at; in a slot of its own."""
    return f"msrp-told:{name}"


def console_session(digest: str) -> str:
    """One log-in to the console, by the digest of its token; in a slot of its own."""
    return f"console-session:{digest}"


def lists(initiator: str) -> str:
    """Names of the distribution lists of one initiator; all of them are in one slot."""
    return f"lists:{{i:{initiator}}}"


def list_members(initiator: str, name: str) -> str:
    """Members of one distribution list."""
    return f"list:{{i:{initiator}}}:{name}"


def profile(url: str) -> str:
    """UAProf document of one URL; in a slot of its own."""
    return f"uaprof:{hashlib.blake2s(url.encode(), digest_size=16).hexdigest()}"


def watch(shard_number: int, target_name: str, package: str) -> str:
    """Our own subscription to an event package of one user, by target."""
    return f"watch:{{u{shard_number}}}:{target_name}:{package}"


def watches_due(shard_number: int) -> str:
    """Watches of a user shard, by when there is something to do about each."""
    return f"watch-due:{{u{shard_number}}}"


def core(s_cscf: str) -> str:
    """What was learnt about one S-CSCF; in a slot of its own."""
    return f"core:{s_cscf}"


def process(name: str) -> str:
    """The last sign of life of one of our processes."""
    return f"process:{name}"


def orders(node: str) -> str:
    """What an operator has told a node."""
    return f"orders:{node}"
