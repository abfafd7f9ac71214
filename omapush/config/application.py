"""The tables of the configuration file about push applications, see sections.py."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta

from omapush.config.quiet import QuietHours
from omapush.config.sections import Bytes, Count, Section


class Retry(Section, frozen=True):
    """When a delivery that may be repeated is repeated."""

    attempts: Annotated[int, Meta(ge=1, le=100)] = 4
    """Number of attempts, including the first."""
    first_s: Annotated[float, Meta(gt=0, le=86_400)] = 2.0
    """Wait before the second attempt."""
    longest_s: Annotated[float, Meta(gt=0, le=86_400)] = 60.0
    """Longest wait before an attempt."""
    growth: Annotated[float, Meta(ge=1, le=10)] = 2.0
    """Each wait is this many times the one before."""


class Application(Section, frozen=True):
    """One push application (ARI): `[application."mms.ua"]`."""

    accept_contact: Literal["bare", "strict", "none"] = "bare"
    """
    How Accept-Contact asks for the application: `bare` (the feature tag alone), `strict` (with require
    and explicit), or `none` (no Accept-Contact).
    """
    content_types: tuple[str, ...] = ()
    """MIME types that pushes of this application may have; others are refused with 2006. Empty: all."""
    max_bytes: Bytes = 67_108_864
    """Largest content, in bytes."""
    form: Literal["native", "wrapped"] = "native"
    """
    `native` sends the content as it is, `wrapped` sends it inside application/vnd.oma.push with its
    control lines.
    """
    gzip: bool = False
    """
    Compress content (Content-Encoding: gzip) if that makes it smaller. The devices must be able to
    decompress it.
    """
    unregistered: Literal["send", "refuse", "hold"] = "send"
    """
    What to do if the user has no known contact: `send` and let the core decide, `refuse` at once as
    undeliverable, or `hold` until the user registers. With `hold`, a push is also held when the core
    still answers 480 at the end of the retry plan.
    """
    no_match: Literal["auto", "send", "refuse", "hold"] = "auto"
    """
    What to do if devices are known, but none has the application: `send` and let the core decide,
    `refuse` at once with 2006, or `hold` until the user's registration changes. `auto` refuses if
    accept_contact is strict, otherwise sends. `refuse` and `hold` also apply to a user without
    registration (refused with 2003), unless `unregistered` says otherwise.
    """
    request_uris: tuple[str, ...] = ()
    """Requests to these addresses of record (shell patterns) are for this application."""
    events: tuple[str, ...] = ()
    """
    Requests with these Event values are for this application; a parameter that is named here has to be
    present.
    """
    methods: tuple[Literal["NOTIFY", "REFER", "MESSAGE", "INVITE", "INDIRECT"], ...] = (
        "NOTIFY",
        "MESSAGE",
        "INVITE",
    )
    """
    Methods that may carry its pushes, in order of preference: NOTIFY in an existing subscription, REFER
    to ask for a subscription where there is none, MESSAGE, INVITE for an MSRP session, INDIRECT for a
    link to the content in a NOTIFY or MESSAGE. The first method that can carry the push is used. If the
    initiator names a method, only that one is tried.
    """
    link_delivered: Literal["fetch", "answer"] = "fetch"
    """
    When a push by INDIRECT counts as delivered: when the device has fetched the content (`fetch`), or
    when it has answered 200 (`answer`).
    """
    subscribers: Literal["grant", "refuse", "pend"] = "grant"
    """
    Devices that subscribe to its pushes: accept them, refuse them (403), or let them wait for approval
    (`pend`).
    """
    push_id_header: bool = False
    """Add the header X-Push-Id, so that a receiver can recognise a repeat after a crash."""
    priority_header: bool = False
    """
    Tell the device the priority of the push, in the header Priority: `urgent`, `normal` or `non-urgent`.
    """
    recipient_rate: Annotated[float, Meta(ge=0, le=100_000)] = 0.0
    """
    Largest number of its pushes a minute to one user. Further ones wait; pushes of other applications do
    not. 0: no limit.
    """
    recipient_burst: Count = 1
    """With `recipient_rate`: how many may leave at once after a quiet time."""
    quiet_hours: tuple[QuietHours, ...] = ()
    """When its pushes wait: `[{ zone = "UTC", start = "22:00", end = "07:00" }]` (docs/applications.md)."""
    retry: Retry | None = None
    """
    Retry plan for all reasons of failure that have no plan of their own here: `retry = { attempts = 4,
    first_s = 2.0, longest_s = 60.0, growth = 2.0 }`. If left out, each reason has its default plan
    (docs/result-codes.md).
    """
    retry_absent: Retry | None = None
    """Plan when the device is away (480, 430). When the registration changes, the push leaves at once."""
    retry_busy: Retry | None = None
    """Plan when the device is busy (486, 600)."""
    retry_refused: Retry | None = None
    """Plan when the device refused without giving a reason (400, 603); at most 2 attempts are made."""
    retry_overload: Retry | None = None
    """Plan when the core or the device is overloaded (502, 503, 500 with Retry-After)."""
    retry_path: Retry | None = None
    """
    Plan when nobody answers (408, 487, 504) or a next hop is away. The next attempt uses another address,
    if there is one.
    """
    retry_failed: Retry | None = None
    """Plan when a server on the way failed (500 and other 5xx)."""

    @property
    def when_unregistered(self) -> Literal["send", "refuse", "hold"]:
        """What to do when no contact is known; `no_match` covers it unless `unregistered` says otherwise."""
        if self.unregistered != "send" or self.no_match == "auto":
            return self.unregistered
        return self.no_match

    @property
    def when_no_match(self) -> Literal["send", "refuse", "hold"]:
        """What to do when no device has the application."""
        if self.no_match != "auto":
            return self.no_match
        return "refuse" if self.accept_contact == "strict" else "send"


class Routing(Section, frozen=True):
    """How the application of an inbound request is found; the clues are in `[application.NAME]`."""

    order: tuple[Literal["accept-contact", "event", "request-uri", "content-type"], ...] = (
        "accept-contact",
        "event",
        "request-uri",
        "content-type",
    )
    """
    The clues, in the order in which they are tried. The first one that leads to a single application
    decides.
    """
    unknown: Literal["accept", "refuse"] = "accept"
    """
    If a request names an application that has no table here: `accept` it with the default settings, or
    `refuse` it (480 or 404).
    """
    default: str = "wml.ua"
    """Application of a request without any clue. Empty: such a request is answered 404."""
