"""schema/ describes what Redis really holds: keys, records, functions."""

import re
from typing import NamedTuple

import pytest

from omapush.protocol.uaprof import PushCharacteristics
from omapush.push.alarm_rules import Certificate, Disk, Failing, Hop, NodeSeen
from omapush.push.alarms import Alarm, AlarmChange
from omapush.push.capabilities import Capabilities, Facts
from omapush.push.dialog import Dialog
from omapush.push.fan_out import FanOut
from omapush.push.hosted import HostedPush, HostedState
from omapush.push.media_worker import MediaWorker
from omapush.push.nodes import Sign
from omapush.push.profile_document import Profile
from omapush.push.referral import Referral
from omapush.push.registration import Contact, Doubt, Registration
from omapush.push.session import Ending, Place, Session, Stream
from omapush.push.subscription import Subscription
from omapush.push.tracing import Captured
from omapush.push.values import Delivery, Event, Push, Recipient, Result
from omapush.push.watch import Watch
from omapush.store import keys
from tests.harness import markdown
from tests.harness.markdown import ROOT

KEYS = (ROOT / "schema" / "keys.md").read_text()
RECORDS = (ROOT / "schema" / "records.md").read_text()
FUNCTIONS = (ROOT / "schema" / "README.md").read_text()
KINDS: tuple[type[NamedTuple], ...] = (
    Push,
    Recipient,
    Result,
    Event,
    Captured,
    Delivery,
    FanOut,
    Registration,
    Contact,
    Doubt,
    Watch,
    Dialog,
    Capabilities,
    Facts,
    Subscription,
    Referral,
    Session,
    Place,
    Stream,
    Ending,
    MediaWorker,
    Sign,
    HostedPush,
    HostedState,
    Profile,
    PushCharacteristics,
    Alarm,
    AlarmChange,
    NodeSeen,
    Certificate,
    Disk,
    Hop,
    Failing,
)

_PART = re.compile(r"^--   ([a-z]+) +(hash|list|set|zset) ", re.MULTILINE)
_PLACE = re.compile(r"^--   sub-([a-z]+) +(hash|set|zset) ", re.MULTILINE)
_SESSION = re.compile(r"^--   session-([a-z]+) +(hash|zset) ", re.MULTILINE)
_HOSTED = re.compile(r"^--   ([a-z]+) +(hash|zset|stream) ", re.MULTILINE)
_FUNCTION = re.compile(r"register_function(?:\(|\{ function_name = )'omapush_([a-z_]+)'")


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_a_record_is_described_field_by_field_in_its_order(kind: type[NamedTuple]) -> None:
    rows = list(markdown.rows(markdown.section(RECORDS, kind.__name__)))

    assert [row[0] for row in rows] == [str(index) for index in range(len(kind._fields))]
    assert [row[1] for row in rows] == [f"`{field}`" for field in kind._fields]
    assert all(row[2] and row[3] for row in rows)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_a_default_is_named_where_there_is_one(kind: type[NamedTuple]) -> None:
    rows = list(markdown.rows(markdown.section(RECORDS, kind.__name__)))

    named = {row[1].strip("`") for row in rows if "default" in row[3]}
    assert named == set(kind._field_defaults)


def written_keys() -> set[str]:
    """Names of the key tables, as patterns."""
    headings = [
        heading for heading in re.findall(r"^## (.*)$", KEYS, re.MULTILINE) if heading.startswith("Of")
    ]
    first_table = [section.partition("\nFields of")[0] for section in map(_below, headings)]
    return {row[0].strip("`") for table in first_table for row in markdown.rows(table)}


def _below(heading: str) -> str:
    return markdown.section(KEYS, heading)


def test_every_key_is_described_and_no_other() -> None:
    parts = _PART.findall((ROOT / "schema" / "functions" / "outbox.lua").read_text())
    places = _PLACE.findall((ROOT / "schema" / "functions" / "subscriptions.lua").read_text())

    hosted = _HOSTED.findall((ROOT / "schema" / "functions" / "hosted.lua").read_text())
    fans = _PART.findall((ROOT / "schema" / "functions" / "fanouts.lua").read_text())

    sessions = _SESSION.findall((ROOT / "schema" / "functions" / "sessions.lua").read_text())

    assert len(parts) == 21
    assert len(sessions) == 3
    assert len(fans) == 3
    assert len(places) == 5
    assert len(hosted) == 6
    assert written_keys() == {
        keys.push(0, "ref").replace("0", "N"),
        keys.own(0, "initiator").replace("0", "N"),
        keys.push_staged(0, "ref.nonce").replace("0", "N"),
        keys.push_log(0, "ref").replace("0", "N"),
        keys.trace(0, "ref").replace("0", "N"),
        keys.trace_due(0).replace("0", "N"),
        keys.content(0, "ref").replace("0", "N"),
        keys.upload(0, "name").replace("0", "N"),
        keys.fetches(0).replace("0", "N"),
        keys.push_counted(0, "ref").replace("0", "N"),
        keys.handover(0).replace("0", "N"),
        keys.notify(0).replace("0", "N"),
        keys.quota(0).replace("0", "N"),
        keys.totals(0).replace("0", "N"),
        keys.limits("NAME"),
        keys.records(0).replace("0", "N"),
        keys.recorder(0).replace("0", "N"),
        keys.guesses("KIND", "VALUE"),
        keys.usual("NAME"),
        keys.REFUSED,
        keys.LOCK_OUTS,
        keys.LIFTED,
        keys.registration(0, "aor").replace("0", "N"),
        keys.alias(0, "tel:...").replace("0", "N"),
        *(keys.outbox(0, part).replace("0", "N") for part, _ in parts),
        *(keys.fan_outs(0, part).replace("0", "N") for part, _ in fans),
        keys.turns(0, "target", "application").replace("0", "N"),
        keys.user_pushes(0, "target").replace("0", "N"),
        keys.capabilities(0, "target").replace("0", "N"),
        keys.subscription(0, "id").replace("0", "N"),
        keys.subscriptions_of(0, "profile", "application").replace("0", "N"),
        *(keys.subscription_part(0, part).replace("0", "N") for part, _ in places),
        keys.referral(0, "id").replace("0", "N"),
        keys.session(0, "id").replace("0", "N"),
        *(keys.session_part(0, part).replace("0", "N") for part, _ in sessions),
        *(keys.hosted(0, part, "application").replace("0", "N") for part, _ in hosted),
        keys.hosted_seen(0, "name").replace("0", "N"),
        keys.hosted_verdicts("waiter"),
        keys.console_session("digest"),
        keys.watch(0, "target", "package").replace("0", "N"),
        keys.watches_due(0).replace("0", "N"),
        keys.node_metrics("node"),
        keys.ALARM_KEEPER,
        keys.ALARM_STANDING,
        keys.ALARM_HISTORY,
        keys.ALARM_NODES,
        keys.SENDERS,
        keys.HOSTED_SERVED,
        keys.LIST_OWNERS,
        keys.lists("initiator"),
        keys.list_members("initiator", "name"),
        keys.core("URI"),
        keys.MSRP_WORKERS,
        keys.TRACING,
        keys.msrp_worker("name"),
        keys.msrp_told("name"),
        keys.PROFILE_QUEUE,
        keys.PROCESSES,
        keys.process("name"),
        keys.orders("node"),
        keys.profile("https://vendor.example/model.xml").partition(":")[0] + ":hash",
    }


def test_every_function_is_described_and_no_other() -> None:
    written = {
        (row[0].strip("`"), row[1].strip("`"))
        for row in markdown.rows(markdown.section(FUNCTIONS, "Functions"))
    }

    assert written == {
        (name, str(file.relative_to(ROOT)))
        for file in (ROOT / "schema" / "functions").glob("*.lua")
        for name in _FUNCTION.findall(file.read_text())
    }
