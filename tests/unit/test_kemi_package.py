"""What NOTIFYs of the watched packages change, without Kamailio."""

from collections.abc import Callable
from functools import partial

import pytest
from package import Effects, joined
from presence import Presence
from reg_event import RegEvent

from omapush.errors import MalformedXml
from omapush.push.capabilities import Capabilities, Facts, merge
from omapush.push.dialog import Heard
from omapush.push.watch import NO_VERSION, PRESENCE, REG, Core, Package, Watch, wanted
from omapush.push.watch_rules import FinalAnswer, Notified
from tests.harness.reg_event import REGINFO, contact, param, reginfo, registration

Rules = dict[str, Callable[[str | None], str | None]]
AOR = "sip:alice@ims.lab"
NOW = 1_800_000_000_000
PIDF = "application/pidf+xml"
EMPTY = b'<presence xmlns="urn:ietf:params:xml:ns:pidf" entity="sip:alice@ims.lab"/>'


def watch(package: Package, state: str = "active", *, expires_ms: int = NOW + 60_000) -> Watch:
    base = wanted(AOR, NOW, package)
    return base._replace(state=state, s_cscf="sip:s", expires_ms=expires_ms)  # type: ignore[arg-type]


def notified(package: Package, body: bytes, content_type: str) -> Notified:
    heard = Heard("peer", 1, "", "")
    return Notified("call", "tag", heard, package, "active", content_type, body, NOW)


def answer(code: int) -> FinalAnswer:
    return FinalAnswer(code, False, "call", 1, "", "", "", "", "", NOW)


def known() -> Capabilities:
    facts = [Facts("a", "presence", NOW, NOW + 10_000), Facts("a", "uaprof", NOW, NOW + 10_000)]
    return merge(None, AOR, facts, NOW)


def test_of_two_effects_on_one_record_the_later_counts_and_what_is_learnt_adds_up() -> None:
    first = Effects(capabilities={AOR: lambda _: None, "b": lambda _: None}, learnt=Core(identity="user"))
    later = Effects(capabilities={AOR: partial(_same)}, learnt=Core(push_tags=True))
    both = first.and_then(later)

    assert set(both.capabilities) == {AOR, "b"}
    assert both.capabilities[AOR](known()) == known()
    assert both.learnt == Core("user", push_tags=True)


def _same(record: Capabilities | None) -> Capabilities | None:
    return record


def test_what_several_say_of_one_record_applies_in_turn() -> None:
    def plus(text: str, record: str | None) -> str | None:
        return (record or "") + text

    def silent(record: str | None) -> str | None:
        return None

    one: Rules = {"a": partial(plus, "1"), "b": partial(plus, "x")}
    others: list[Rules] = [{"a": silent}, {"a": partial(plus, "2")}]
    rules = joined([one, *others])
    assert (rules["a"](None), rules["b"]("y")) == ("12", "yx")


def test_reginfo_changes_every_identity_and_teaches_what_the_core_reports() -> None:
    tags = param("+g.oma.pusheventapp", "mms.ua")
    both = (registration(AOR, contact("sip:a@x", inside=tags)), registration("tel:+1", contact("sip:a@x")))
    body = reginfo(7, *both)
    document = RegEvent().read(notified(REG, body, REGINFO), watch(REG), Core())
    effects = document.effects(watch(REG))

    assert (document.version, document.full, document.gone) == (7, True, False)
    assert set(effects.registrations) == {AOR, "tel:+1"}
    assert effects.learnt == Core(push_tags=True)
    again = RegEvent().read(notified(REG, body, REGINFO), watch(REG), Core(push_tags=True))
    assert again.effects(watch(REG)).learnt == Core()


@pytest.mark.parametrize(("state", "learnt"), [("active", "as"), ("resting", "")])
def test_whom_a_core_let_subscribe_is_learnt_from_a_subscription_that_lives(state: str, learnt: str) -> None:
    assert RegEvent().on_notify(watch(REG, state), Core()).learnt == Core(identity=learnt)
    assert RegEvent().on_notify(watch(REG, state), Core(identity="as")).learnt == Core()


def test_only_480_makes_a_registration_doubtful() -> None:
    assert set(RegEvent().on_answer(watch(REG, "waiting"), answer(480)).registrations) == {AOR}
    assert RegEvent().on_answer(watch(REG, "waiting"), answer(404)) == Effects()


@pytest.mark.req("PROP-CAP-5", "SIPPUSH-PSA-S-002")
def test_a_presence_document_replaces_what_presence_said_as_long_as_the_subscription_lasts() -> None:
    document = Presence().read(notified(PRESENCE, EMPTY, PIDF), watch(PRESENCE), Core())
    changed = document.effects(watch(PRESENCE)).capabilities[AOR](known())

    assert (document.version, document.full, document.gone) == (NO_VERSION, True, False)
    assert changed is not None
    assert [one.source for one in changed.facts] == ["uaprof"]
    assert document.effects(watch(PRESENCE, "waiting", expires_ms=0)) == Effects()


@pytest.mark.req("PROP-CAP-5", "SIPPUSH-PSA-S-002")
def test_presence_lasts_with_its_subscription_and_ends_with_it() -> None:
    longer = Presence().on_answer(watch(PRESENCE), answer(200)).capabilities[AOR](known())
    assert longer is not None
    assert {one.source: one.expires_ms for one in longer.facts} == {
        "presence": NOW + 60_000,
        "uaprof": NOW + 10_000,
    }
    over = Presence().on_notify(watch(PRESENCE, "waiting"), Core()).capabilities[AOR](known())
    assert over is not None
    assert [one.source for one in over.facts] == ["uaprof"]
    assert Presence().on_notify(watch(PRESENCE, "resting"), Core()) == Effects()


def test_a_document_of_another_kind_is_refused_by_both() -> None:
    with pytest.raises(MalformedXml, match="Content-Type"):
        RegEvent().read(notified(REG, EMPTY, "text/plain"), watch(REG), Core())
    with pytest.raises(MalformedXml, match="Content-Type"):
        Presence().read(notified(PRESENCE, EMPTY, "text/plain"), watch(PRESENCE), Core())
