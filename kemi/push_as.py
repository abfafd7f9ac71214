"""
What Kamailio loads: one method for each event. Read, let push/ decide, act.

An uncaught exception here answers nobody, and a route that returns None makes its worker lose the next
request; so every route is guarded and returns an int.
"""

from __future__ import annotations

import gc
from collections.abc import Callable

import completer
import heartbeat
import hosting
import KSR
import ksr_reader
import ksr_writer
import metrics
import overload
import own_http
import profiling
import referring
import registering
import route_set
import session_completer
import session_keeper
import shared_pages
import steering
import subscription_completer
import subscription_notifier
import suspended
import tcp_door
import watcher
from completer import ResultCompleter
from hosting import HostedCompleter
from name_lookups import Lookups
from pace import TURN_S
from profiling import Worker
from registering import RegisterCompleter
from sender import SenderProcess
from session_completer import SessionCompleter
from settings import Settings
from steering import SipSteering
from subscription_completer import SubscriptionCompleter
from tracer import Tracer
from watcher import WatchCompleter

from omapush import clock, log
from omapush.errors import BadConfiguration, PushError
from omapush.push import hosted, inbound, referral, session, subscribe, watch_rules
from omapush.push.inbound import (
    Answer,
    Capture,
    Decision,
    Hosted,
    InSession,
    Notification,
    Relay,
    Subscription,
)

DONE = 1
_REPEATED = 0
"What t_check_trans says of a request whose transaction is there, and has been answered again if it can be."
_SANITY_MESSAGE = 16487
"""
Checks of the sanity module for every request: start line, Via, required headers, CSeq.

Not its Expires check, which refuses numbers that RFC 3261 20.19 tells us to take, nor that of Content-Length,
which refuses octets behind the body that RFC 3261 18.3 tells us to drop.
"""
_SANITY_URIS = (1024, 7)
"Request-URI, From and To can be read: for requests that end here; others' URIs are none of our business."
_ALLOCATIONS_BETWEEN_COLLECTIONS = 20_000
_QUEUES = {
    subscription_notifier.REFERENCE: subscription_notifier.NOTIFIED,
    referring.REFERENCE: referring.ANSWERS,
}
"Where answers go, by how the reference of the request begins; all others are to pushes."


def mod_init() -> PushAs:
    """Kamailio calls this once, before it forks."""
    try:
        return PushAs(Settings.load())
    except BadConfiguration as error:
        KSR.err(f"{error}\n")
        raise


class PushAs:
    """The Push Sender Agent on ISC."""

    def __init__(self, settings: Settings) -> None:
        self._workers: dict[str, Worker] = {}
        self._steering: SipSteering | None = None
        self._native_counts = metrics.NativeCounts()
        self._lookups = Lookups()
        self._tcp_door = tcp_door.TcpDoor()
        self._told: Settings | None = None
        self._take(settings)
        log.setup("sip", level=settings.config.log.level, form=settings.config.log.format)

    def _take(self, settings: Settings) -> None:
        """Let this process go on with these settings."""
        self._settings = settings
        self._record_route = settings.config.sip.record_route
        self._by_address = not settings.inside.domain.names
        suspended.steer(settings.config.overload.queue_ms, settings.udp_ports)
        ksr_writer.keep_inside(settings.inside)
        ksr_writer.send_large_by_tcp(settings.config.sip.tcp_above)
        for one in self._workers.values():
            one.take(settings)

    def _look(self) -> None:
        """See what an operator has changed; at most 50 times a second there is a table to be read."""
        config = steering.look()
        if config is not None:
            self._take(self._settings.after(config))

    def child_init(self, rank: int) -> int:
        """In each process after the fork. Sockets are opened on first use, one for each process."""
        if rank == tcp_door.MAIN:
            self._tcp_door.shut(self._settings)
        # What is loaded stays for good: looking through it again and again for garbage costs every request.
        gc.freeze()
        gc.set_threshold(_ALLOCATIONS_BETWEEN_COLLECTIONS, 20, 20)
        shared_pages.enter_into_page_table()
        return 0

    # Requests ------------------------------------------------------------------------------------

    def ksr_request_route(self, _msg: object) -> int:
        """Every request that does not belong to a transaction of our own."""
        way_out: Decision = Answer(500, "Server Internal Error")
        try:
            self._look()
            if not ksr_reader.is_trusted(self._settings) and KSR.pike.pike_check_req() < 0:
                return DONE  # a flood from an address outside the trust domain: not worth an answer
            if KSR.tm.t_check_trans() == _REPEATED:
                return DONE  # its first copy was taken: not to be shed
            if (refusal := self._shed()) is not None:
                ksr_writer.apply(refusal, record_route=self._record_route)
                return DONE
            if KSR.sanity.sanity_check(_SANITY_MESSAGE, 1) < 0:
                ksr_writer.refuse_malformed()
                return DONE
            onward = route_set.leads_onward(self._settings)
            if onward and ksr_reader.is_trusted(self._settings):
                way_out = Relay()
            if not onward and KSR.sanity.sanity_check(*_SANITY_URIS) < 0:
                ksr_writer.refuse_malformed()
                return DONE
            if ksr_reader.has_wrong_length(onward=onward):
                ksr_writer.reply(400, "Content-Length Is Not That Of The Body")
                return DONE
            metrics.count_received(ksr_reader.method())
            # Its last call to Kamailio is what answers or relays: what raises has done neither.
            ksr_writer.apply(self._decide(onward=onward), record_route=self._record_route)
        except Exception:  # last line before the wire: never fall silent
            ksr_writer.apply(way_out, record_route=self._record_route)
            log.get().exception("route_crashed", onward=isinstance(way_out, Relay))
        return DONE

    def _shed(self) -> Answer | None:
        """
        Refuse a new REGISTER for us that is not let in, before anything else, which costs, is looked at.

        Most of what comes are REGISTERs. One with several Routes may be somebody else's, and goes on.
        """
        if ksr_reader.method() != "REGISTER" or not ksr_reader.is_trusted(self._settings):
            return None
        if overload.leave_to_kamailio(ksr_reader.source_address(), by_address=self._by_address):
            return None
        if not overload.sheds(registering.queue()):
            return None
        if ksr_reader.has_several_routes():
            return None
        return suspended.refusal(registering.REGISTERS)

    def _decide(self, *, onward: bool) -> Decision:
        request = ksr_reader.request(self._settings, onward=onward)
        decision = inbound.decide(request, is_drained=steering.is_draining)
        try:
            match decision:
                case Capture():
                    return self._capture()
                case Subscription():
                    return self._subscribe()
                case Notification():
                    return self._notified()
                case Hosted(application):
                    return self._host(application)
                case InSession():
                    return self._in_session()
                case _:
                    return decision
        except PushError as error:
            log.get().warning("request_refused", problem=str(error), status=error.sip_status)
            return Answer(error.sip_status, error.sip_reason)

    def _capture(self) -> Decision:
        """Suspend a third-party REGISTER until it is read and stored; the completer lets it answer."""
        return registering.hand_over() or Capture()

    def _subscribe(self) -> Decision:
        """Refuse a SUBSCRIBE, or suspend it until it is stored; the completer lets it answer."""
        if overload.sheds(subscription_completer.SUBSCRIBES):  # before it is read, which costs most of it
            return suspended.refusal(subscription_completer.SUBSCRIBES)
        request = ksr_reader.subscribe()
        if request.to_tag and not subscribe.is_ours(request.to_tag):
            return Answer(481, "Call/Transaction Does Not Exist")
        wanted = subscribe.admit(request, self._settings.terms)
        if isinstance(wanted, Answer):
            return wanted
        if not request.to_tag:
            ksr_writer.set_to_tag(wanted.id)
        packed = subscription_completer.pack_subscribe(wanted)
        queue = subscription_completer.SUBSCRIBES
        return suspended.hand_over(queue, packed, is_admitted=True) or Subscription()

    def _notified(self) -> Decision:
        """Refuse a NOTIFY, or suspend it until what it says is stored; the completer lets it answer."""
        notified = ksr_reader.notified()._replace(answer_headers=self._answer_headers())
        if referral.id_of_call(notified.call_id):
            if notified.package != referral.PACKAGE:
                return Answer(489, "Bad Event", (("Allow-Events", referral.PACKAGE),))
            told = ksr_reader.told()._replace(answer_headers=notified.answer_headers)
            packed = referring.pack_told(told)
            return suspended.hand_over(referring.NOTIFIES, packed) or Notification()
        refusal = watch_rules.admit(notified)
        if refusal is not None:
            return refusal
        if notified.package == subscribe.PACKAGE and (pushed := ksr_reader.hosted_push()).length:
            notified = notified._replace(body=b"", pushed=pushed)
        return suspended.hand_over(watcher.NOTIFIES, watcher.pack_notify(notified)) or Notification()

    def _in_session(self) -> Decision:
        """Refuse a request in a dialog that cannot be ours, or suspend it until what it says is stored."""
        asked = ksr_reader.in_session(f"sip:{self._settings.sender.sent_by}")
        if not session.id_of_call(asked.call_id):
            return Answer(481, "Call/Transaction Does Not Exist")
        packed = session_completer.pack_asked(asked._replace(answer_headers=self._answer_headers()))
        return suspended.hand_over(session_completer.REQUESTS, packed) or InSession()

    def _host(self, application: str) -> Decision:
        """Refuse a push for an application behind us, or suspend it until it is stored."""
        terms = self._settings.config.hosted[application]
        push = hosted.admit(ksr_reader.hosted_push(), application, terms, clock.now_ms())
        headers = self._answer_headers()
        if isinstance(push, Answer):
            metrics.count_hosted(application, push.status)
            return Answer(push.status, push.reason, (*push.headers, *headers))
        return suspended.hand_over(hosting.QUEUE, hosting.pack(headers, push)) or Hosted(application)

    def _answer_headers(self) -> hosting.Headers:
        vector = ksr_reader.text("$hdr(P-Charging-Vector)")
        return hosting.answer_headers(vector, self._settings.sender.ioi)

    def ksr_resumed(self, *_: object) -> int:
        """In a completer: what a suspended request asked for is stored, answer it."""
        suspended.reply()
        return DONE

    def ksr_established(self, _msg: object) -> int:
        """A 2xx to an INVITE, of ours or of others: what a fork of ours says goes to the sessions."""
        try:
            call_id = ksr_reader.call_id()
            if call_id[:1] == "i" and (session_id := session.id_of_call(call_id)):
                self._answered_by_fork(session_id)
        except Exception:
            log.get().exception("established_crashed")
        return DONE

    def _answered_by_fork(self, session_id: str) -> None:
        said = ksr_reader.established()
        if said is not None:
            KSR.mqueue.mq_add(session_completer.FORKS, session_id, session_keeper.pack_said(said))

    def ksr_border_reply(self, *_: object) -> int:
        """An answer from outside the trust domain to a request that we relayed there."""
        try:
            ksr_writer.strip_answer()
        except Exception:
            log.get().exception("border_reply_crashed")
        return DONE

    # Our own requests ----------------------------------------------------------------------------

    def ksr_tm_local_request(self, _msg: object) -> int:
        """In the process that sends: a request of ours is made, and may still be changed."""
        ksr_writer.finish_local_request()
        return DONE

    def ksr_uac_event(self, _msg: object) -> int:
        """
        In a SIP worker: a request of ours has its final answer. Only handed over here, never stored.

        A device's 200 to a push does not come here: kamailio.cfg hands it over by itself.
        """
        try:
            ksr_writer.forget()
            reference = ksr_reader.reference()
            if watcher.is_reference(reference):
                self._answered_subscribe(watcher.Reference.unpack(reference))
                return DONE
            if reference == session_completer.OF_A_FORK:
                return DONE
            if reference.startswith(session_keeper.REFERENCE):
                self._answered_in_session(session_keeper.Reference.unpack(reference))
                return DONE
            answered = ksr_reader.final_answer().pack()
            KSR.mqueue.mq_add(_QUEUES.get(reference[:2], completer.RESULTS), reference, answered)
        except Exception:
            log.get().exception("uac_event_crashed")
        return DONE

    def _answered_subscribe(self, reference: watcher.Reference) -> None:
        answer = ksr_reader.subscribe_answer(reference.call, reference.cseq)
        KSR.mqueue.mq_add(watcher.ANSWERS, reference.pack(), watcher.pack_answer(answer))

    def _answered_in_session(self, reference: session_keeper.Reference) -> None:
        said = ksr_reader.session_answer(reference.cseq)
        KSR.mqueue.mq_add(session_keeper.ANSWERS, reference.pack(), session_keeper.pack_said(said))

    def ksr_sender(self, *_: object) -> int:
        """In a sender process, again and again."""
        try:
            self._work("sender", lambda: SenderProcess(self._settings, ksr_reader.number("$rtimer_worker")))
        except Exception:
            log.get().exception("sender_crashed")
        return DONE

    def ksr_completer_results(self, *_: object) -> int:
        """In the process that stores results, again and again."""
        return self._complete("results", ResultCompleter)

    def ksr_completer_registers(self, *_: object) -> int:
        """In a process that stores registrations, again and again."""
        number = ksr_reader.number("$rtimer_worker")
        return self._complete("registers", lambda settings: RegisterCompleter(settings, number))

    def ksr_completer_subscribes(self, *_: object) -> int:
        """In the process that stores subscriptions of devices, again and again."""
        return self._complete("subscribes", SubscriptionCompleter)

    def ksr_completer_watches(self, *_: object) -> int:
        """In the process that stores what the reg event says, again and again."""
        return self._complete("watches", WatchCompleter)

    def ksr_completer_hosted(self, *_: object) -> int:
        """In the process that stores pushes for hosted applications, again and again."""
        return self._complete("hosted", HostedCompleter)

    def ksr_completer_sessions(self, *_: object) -> int:
        """In the process that stores what happens in sessions, again and again."""
        return self._complete("sessions", SessionCompleter)

    def ksr_tracer(self, *_: object) -> int:
        """In the process that keeps what traced pushes sent and received, at each tick of its timer."""
        return self._complete("traces", Tracer, turn_s=0.0)

    def _complete(self, queue: str, make: Callable[[Settings], Worker], turn_s: float = TURN_S) -> int:
        try:
            self._work(queue, lambda: make(self._settings), turn_s)
        except Exception:
            log.get().exception("completer_crashed", queue=queue)
        return DONE

    def _work(self, name: str, make: Callable[[], Worker], turn_s: float = TURN_S) -> None:
        """Let the one worker of this process work for a turn; made here, as it connects after the fork."""
        number, ends = ksr_reader.number("$rtimer_worker"), clock.monotonic() + turn_s
        heartbeat.beat(name, number)
        while True:
            self._look()
            worker = self._workers.get(name)
            if worker is None:
                worker = self._workers[name] = profiling.watched(name, make)
            if self._told is not self._settings:
                self._told = self._settings
                steering.told(f"{name} {number}")
            worker.run_once()
            if clock.monotonic() >= ends:
                return

    def ksr_control(self, *_: object) -> int:
        """In the process that asks for the orders of operators, again and again."""
        try:
            if self._steering is None:
                self._steering = SipSteering(self._settings)
            heartbeat.beat("control", 0)
            self._look()
            self._tcp_door.keep(self._settings)
            self._native_counts.carry_over()
            self._lookups.run_once(self._settings)
            self._steering.run_once()
        except Exception:
            log.get().exception("completer_crashed", queue="control")
        return DONE

    # HTTP ----------------------------------------------------------------------------------------

    def ksr_xhttp_event(self, _msg: object, _event: str) -> int:
        """A request by HTTP on the TCP address."""
        own_http.answer(self._settings)
        return DONE
