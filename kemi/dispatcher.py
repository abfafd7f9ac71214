"""Deliveries that are ready in the shards of a sender process: each leaves, ends, or is put off."""

from __future__ import annotations

from collections.abc import Sequence

import device_facts
import holding
import KSR
import referring
from batch import Batch
from content_notifier import Chosen, ContentNotifier, is_all_told
from gate import Gate
from hops import Hops, Way
from inviting import Carrying, Inviter
from knowledge import Knowledge, Known
from links import Links
from msgspec.structs import replace
from outgoing import Outgoing
from quiet_hours import QuietTimes
from recipient_limits import RecipientLimits
from salvo import Salvo
from settings import Settings
from shards import Shards
from traced import marks
from window import Window, share_out

from omapush import clock, log
from omapush.errors import PushError, TooLarge, TryLater
from omapush.push import outcome, policy, refused_method
from omapush.push.device_choice import devices_for
from omapush.push.method_choice import Choice, Composers, Situation, choose
from omapush.push.outcome import Outcome
from omapush.push.page_mode import Profile, accept_contact_of, compose
from omapush.push.referral import look_again_ms, next_hop_to
from omapush.push.refused_method import RefusedMethod
from omapush.push.values import ticket_delivery
from omapush.store import finish, outbox
from omapush.store.client import Store
from omapush.store.looks import Look
from omapush.store.outbox import Owner, Taken, Unreadable

_MOST_AT_ONCE = 64
"Deliveries taken from one shard in one go."
_SEALED_WAIT_MS = 30_000
_AT_A_RELAY = 202
"A relay that said so has the push; it is never sent again, whatever our clocks say."


class Dispatcher:
    """Part of a sender process."""

    def __init__(
        self, settings: Settings, store: Store, owner: Owner, shards: Shards, window: Window, hops: Hops
    ) -> None:
        self._settings = settings
        self._delivery = settings.config.delivery
        self._transaction_ms = settings.config.delivery.transaction_s * 1000
        self._store = store
        self._owner = owner
        self._shards = shards
        self._window = window
        self._hops = hops
        self._gate = Gate(settings, hops, window)
        self._outgoing = Outgoing(settings, owner.sender, window)
        self._notifier = ContentNotifier(settings, store, self._gate, self._outgoing)
        self._inviter = Inviter(settings, store, self._outgoing)
        self._knowledge = Knowledge(settings, store)
        self._links = Links(settings, store)
        self._limits = RecipientLimits(settings, store)
        self._quiet = QuietTimes(settings)
        self._policy = policy.rules_of(settings.config.policy)
        self._shown = -1

    def room(self) -> int:
        """See what other processes of this Kamailio tell, and return how many deliveries may be sent now."""
        marks.look()
        self._hops.look(len(self._shards.owned) / self._settings.config.redis.user_shards)
        free = self._window.free(clock.monotonic())
        if self._window.in_flight != self._shown:
            self._shown = self._window.in_flight
            KSR.xhttp_prom.gauge_set_l1("requests_in_flight", str(self._shown), str(self._owner.sender))
        return free

    def send_ready(self, look: Look, free: int) -> int:
        """Send one batch of what is ready, so many at most; returns how many deliveries it had."""
        if look.later:
            outbox.wake(self._store, look.later, most=_MOST_AT_ONCE)
        shards, most = share_out(free, sorted({*look.ready, *look.later}), _MOST_AT_ONCE)
        if not shards:
            return 0
        taken = outbox.take(self._store, shards, self._owner, transaction_ms=self._transaction_ms, most=most)
        self._shards.lost(number for number, found in taken.items() if found is None)
        everything = [one for found in taken.values() for one in found or ()]
        broken = [one for one in everything if isinstance(one, Unreadable)]
        self._end_unreadable([one for one in broken if not one.is_sealed])
        self._put_off_sealed([one for one in broken if one.is_sealed])
        self._send_all([one for one in everything if isinstance(one, Taken)])
        return len(everything)

    def _end_unreadable(self, broken: list[Unreadable]) -> None:
        """A delivery whose record cannot be read ends here, before it holds up its queue for ever."""
        if not broken:
            return
        ref, _ = ticket_delivery(broken[0].ticket)
        log.get().error("delivery_records_broken", number=len(broken), ref=ref, problem=broken[0].problem)
        now_ms = clock.now_ms()
        verdict = Outcome(None, "undeliverable", PushError.pap_code, "its record in the outbox is broken")
        ended = [finish.Ended(one.ticket, verdict, "", 0, 0, now_ms, verdict.desc) for one in broken]
        finish.store(self._store, ended, retention_s=self._delivery.retention_s)

    def _put_off_sealed(self, sealed: list[Unreadable]) -> None:
        """What our keys do not open waits for an operator who brings the right one, or for its end."""
        if not sealed:
            return
        ref, _ = ticket_delivery(sealed[0].ticket)
        log.get().error("contents_not_opened", number=len(sealed), ref=ref, problem=sealed[0].problem)
        outbox.put_off(self._store, [(one.ticket, _SEALED_WAIT_MS) for one in sealed])

    def _send_all(self, taken: list[Taken]) -> None:
        if not taken:
            return
        batch = Batch(self._store, self._delivery.retention_s)
        notifies: list[Chosen] = []
        limited: list[Chosen] = []
        carried = self._inviter.carried(taken)
        with Salvo(self._outgoing, batch) as salvo:
            for one, known in zip(taken, self._knowledge.of(taken, clock.now_ms()), strict=True):
                if known.gives_way and not one.told and one.ticket not in carried:
                    batch.give_way(one)
                    continue
                chosen = self._decide(one, known, carried.get(one.ticket), batch)
                if chosen is not None and self._limits.concern(one):
                    limited.append(chosen)
                elif chosen is not None:
                    self._go(chosen, batch, salvo, notifies)
            for chosen in self._in_turn(limited, batch):
                self._go(chosen, batch, salvo, notifies)
        self._notifier.notify_all(notifies, batch)
        self._outgoing.flush()
        batch.store()

    def _in_turn(self, limited: Sequence[Chosen], batch: Batch) -> list[Chosen]:
        """Return those whose turn at their user it is; the others are held. All ask Redis together."""
        now_ms = clock.now_ms()
        waits = self._limits.wait([one.taken for one in limited], now_ms)
        for (one, known, _), choice in zip(limited, waits, strict=True):
            if choice is not None:
                batch.hold(self._held(one, known, choice, now_ms)._replace(on_change=False))
        return [one for one, choice in zip(limited, waits, strict=True) if choice is None]

    def _go(self, chosen: Chosen, batch: Batch, salvo: Salvo, notifies: list[Chosen]) -> None:
        """Let a delivery leave by the method that was chosen; NOTIFYs leave together, later."""
        one, known, choice = chosen
        match choice.method:
            case "NOTIFY":
                notifies.append(chosen)
            case "INVITE":
                self._inviter.begin(one, known, choice, self._profile(one, known), batch)
            case _:
                self._message(chosen, batch, salvo)

    def _profile(self, one: Taken, known: Known) -> Profile:
        of_application = self._settings.profile(one.delivery.application, one.delivery.initiator)
        return device_facts.fitted(of_application, known.facts)

    # The decision --------------------------------------------------------------------------------

    def _decide(self, one: Taken, known: Known, carrying: Carrying | None, batch: Batch) -> Chosen | None:
        """Return what is chosen to leave now, for the caller to send; None: it is done with."""
        delivery, now_ms = one.delivery, clock.now_ms()
        if known.last is not None:
            if known.last.sip_code == _AT_A_RELAY:
                batch.end(self._expired(one, known, now_ms, held=False))
                return None
            if outcome.is_path_failure(known.last.sip_code):
                known = replace(known, path_failures=one.attempt - 1)
        refused = refused_method.of_told(one.told) if one.told else ()
        if carrying is not None:
            is_refused = any(each.method == "INVITE" for each in refused)
            if not is_refused and self._inviter.follow(one, known, carrying, batch):
                return None
        if one.told:
            told = {each.name for each in one.told}
            left = tuple(sub for sub in known.subscriptions if sub.id not in told)
            known = replace(known, subscriptions=left)
        try:
            choice = self._choose(one, known, self._profile(one, known), refused, now_ms)
        except TryLater:
            raise
        except PushError as error:  # of this delivery alone
            verdict = Outcome(None, "undeliverable", error.pap_code, str(error))
            batch.end(self._outgoing.end(one, verdict, now_ms, sip_code=0))
            return None
        is_late = now_ms >= delivery.deliver_before_ms
        if one.told and is_all_told(one, choice, is_late=is_late):
            batch.end(self._notifier.all_told(one, now_ms))
        elif is_late:
            batch.end(self._expired(one, known, now_ms, held=choice.hold))
        elif choice.outcome is not None:
            code, method = (choice.refused.sip_code, choice.refused.method) if choice.refused else (0, "")
            batch.end(self._outgoing.end(one, choice.outcome, now_ms, sip_code=code, method=method))
        elif choice.hold:
            batch.hold(self._held(one, known, choice, now_ms))
        elif (waits := self._quiet.waits(one, now_ms, batch)) is not None:
            batch.hold(self._held(one, known, waits, now_ms)._replace(on_change=False))
        elif choice.method == "REFER":
            self._refer(one, known, choice, batch)
        else:
            return Chosen(one, known, choice)
        return None

    def _choose(
        self,
        one: Taken,
        known: Known,
        profile: Profile,
        refused: tuple[RefusedMethod, ...],
        now_ms: int,
    ) -> Choice:
        delivery, record = one.delivery, known.record
        if delivery.subscription and self._policy:  # all others were judged when they were accepted
            verdict = policy.of_delivery(self._policy, delivery)
            if not verdict.allowed:
                return Choice(None, verdict.why, Outcome(None, "undeliverable", policy.CODE, verdict.why))
        subs = known.subscriptions
        if delivery.subscription:
            subs = tuple(sub for sub in subs if sub.id == delivery.subscription)
        situation = Situation(
            delivery,
            devices_for(record, accept_contact_of(profile), now_ms),
            subs,
            known.referral,
            device_facts.refusal(delivery, known.facts, record, now_ms),
            now_ms,
            record,
            known.facts,
            refused,
        )
        s_cscf = record.s_cscf if record else ""
        composers = Composers(
            lambda: compose(delivery, self._settings.sender, profile, s_cscf, one.attempt),
            lambda: compose(
                self._links.linked(delivery, now_ms),
                self._settings.sender,
                profile._replace(wrapped=False, gzip=False),
                s_cscf,
                one.attempt,
            ),
        )
        return choose(situation, self._settings.rules(delivery.application), composers)

    # MESSAGE -------------------------------------------------------------------------------------

    def _message(self, chosen: Chosen, batch: Batch, salvo: Salvo) -> None:
        one, known, choice = chosen
        request, now_ms = choice.request, clock.now_ms()
        assert request is not None  # noqa: S101 - a choice of MESSAGE has it
        way = self._way_on(one, request.next_hop, request.size, known, batch)
        if way is None:
            return
        if way.address != request.next_hop:
            request = replace(request, next_hop=way.next_hop, address=way.address)
        salvo.add(self._outgoing.ready(one, request, now_ms, f"({choice.why})", link=choice.link))

    # REFER ---------------------------------------------------------------------------------------

    def _refer(self, one: Taken, known: Known, choice: Choice, batch: Batch) -> None:
        now_ms = clock.now_ms()
        next_hop = next_hop_to(self._settings.sender, known.record.s_cscf if known.record else "")
        way = self._way_on(one, next_hop, 0, known, batch)
        if way is None:
            return
        try:
            begun = referring.begin(self._settings, self._store, one, known.record, now_ms)
        except TooLarge as error:
            verdict = Outcome(None, "undeliverable", error.pap_code, str(error))
            batch.end(self._outgoing.end(one, verdict, now_ms, sip_code=0))
            return
        if begun is None:  # another has just begun one for the same user and application
            batch.choose_again(one.ticket)
            return
        referral, request = begun[0], replace(begun[1], next_hop=way.next_hop, address=way.address)
        batch.note(one, self._outgoing.sent(one, request, f"({choice.why})", now_ms))
        until_ms = look_again_ms(referral, now_ms)
        waits = Choice(None, "waits for the device to subscribe", hold=True, until_ms=until_ms)
        batch.hold(self._held(one, known, waits, now_ms))
        batch.refer(referral, request)

    # What becomes of it --------------------------------------------------------------------------

    def _way_on(self, one: Taken, next_hop: str, size: int, known: Known, batch: Batch) -> Way | None:
        """Return the way of a request that may leave now; None: it waits or has none, as the batch knows."""
        way = self._gate.way(next_hop, size, known.path_failures)
        if wait_ms := self._gate.wait_ms(way, one.ticket):
            batch.put_off(one.ticket, wait_ms)
            return None
        if not way.address:
            batch.end(self._outgoing.not_sent(one, clock.now_ms(), way.why))
            return None
        return way

    def _held(self, one: Taken, known: Known, choice: Choice, now_ms: int) -> holding.Held:
        check_ms = now_ms + int(self._delivery.hold_check_s * 1000)
        again_ms = min(choice.until_ms or check_ms, one.delivery.deliver_before_ms)
        return holding.Held(one.ticket, one.delivery, known.record, now_ms, again_ms, choice.why)

    def _expired(self, one: Taken, known: Known, now_ms: int, *, held: bool) -> finish.Ended:
        """Deliver-before passed while it waited: for its first try, for its next, or after a relay's 202."""
        code, method = (known.last.sip_code, known.last.method) if known.last is not None else (0, "")
        ended = self._outgoing.end(one, outcome.expired(code, held=held), now_ms, sip_code=code)
        return replace(ended, attempt=one.attempt - 1, method=method)
