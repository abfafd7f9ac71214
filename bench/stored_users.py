"""Users who are there already: their records, as the server itself would have written them, put in fast."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import islice
from typing import NamedTuple

from redis.client import Pipeline

from omapush import clock
from omapush.config import Application, Routing
from omapush.push import capabilities, registrar, watch, watch_rules
from omapush.push import subscription as rules
from omapush.push.capabilities import ANY_DEVICE, Facts
from omapush.push.dialog import Heard
from omapush.push.registrar import ThirdPartyRegister
from omapush.push.registration import Registration, merge
from omapush.push.subscribe import Subscribe, Terms, Wanted, admit, subscription_id
from omapush.push.subscription import Subscription
from omapush.push.values import target
from omapush.push.watch import Core, Plan, Watch
from omapush.push.watch_rules import Notified
from omapush.store import codec, keys, registrations, subscriptions, watches
from omapush.store.client import Store
from omapush.store.subscriptions import Placed
from omapush.store.watches import Change

_AT_ONCE = 1_000
_HOUR_S = 3_600
_WEEK_S = 604_800
_PLAN = Plan("sip:psa@home1.example", "127.0.0.1:5070", "home1.example", "as", _WEEK_S, 5_000, 3_600_000)
_TERMS = Terms(60, _WEEK_S, Routing(), {}, Application())
_TRANSACTION_MS = 40_000
_TOKEN = "0123456789abcdef"  # noqa: S105 - opens nothing
_UUID = "00000000-0000-1000-8000-"
_REGISTER = (
    "REGISTER sip:home1.example SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1:5092;branch=z9hG4bKue\r\n"
    "From: <{aor}>;tag=ue\r\nTo: <{aor}>\r\nCall-ID: ue@127.0.0.1\r\nCSeq: 1 REGISTER\r\n"
    'Contact: <{uri}>;+g.oma.pusheventapp="mms.ua";+g.3gpp.smsip;+sip.instance="{instance}"\r\n'
    "Expires: 3600\r\nPath: <sip:term@127.0.0.1:5090;lr>\r\nSupported: path, gruu\r\n"
    "Content-Length: 0\r\n\r\n"
)


class User(NamedTuple):
    """User number so-and-so, with one device."""

    aor: str
    uri: str
    "Contact of the device."
    instance: str

    @staticmethod
    def number(number: int) -> User:
        """Return the user; two of different numbers differ in everything."""
        name = f"u{number}@home1.example"
        return User(f"sip:{name}", f"sip:u{number}@127.0.0.1:5229", f"<urn:uuid:{_UUID}{number:012d}>")


def _call_id(user: User) -> str:
    return f"{user.instance.strip('<>').removeprefix('urn:uuid:')}@127.0.0.1"


def _subject(user: User) -> watch.Subject:
    return watch.Subject(user.aor, watch.REG)


def call_id_start(user: User) -> str:
    """Return how our Call-IDs in dialogs about the user begin."""
    return watch.call_id_start(_subject(user))


def registration(user: User, s_cscf: str, now_ms: int) -> Registration:
    """Return what a third-party REGISTER with the device's own inside makes known."""
    body = _REGISTER.format(aor=user.aor, uri=user.uri, instance=user.instance)
    register = ThirdPartyRegister(
        to=user.aor,
        from_uri=s_cscf,
        contact=f"<{s_cscf}>",
        expires="3720",
        path=f"<{s_cscf};lr>",
        associated=f"<{user.aor}>",
        charging_vector="icid-value=b;orig-ioi=home1.example",
        charging_functions="",
        content_type="message/sip",
        body=body.encode(),
    )
    return merge(None, registrar.read_report(register, now_ms))


def subscription(user: User, application: str, port: int, now_ms: int) -> Subscription:
    """Return the subscription of the user's device to an application; it came by an S-CSCF on `port`."""
    request = Subscribe(
        event="ua-profile;profile-type=oma-app",
        accept="application/vnd.oma.push, */*",
        expires=str(_WEEK_S),
        contact=f'<sip:ue@127.0.0.1:{port}>;+sip.instance="{user.instance}"',
        record_route=f"<sip:127.0.0.1:{port};lr>",
        asserted=f"<{user.aor}>",
        from_uri=user.aor,
        from_tag="b1",
        to_uri=_PLAN.sender_uri,
        to_tag="",
        call_id=_call_id(user),
        cseq=1,
        request_uri=_PLAN.sender_uri,
        accept_contact=f'*;+g.oma.pusheventapp="{application}"',
        charging_vector="icid-value=b;orig-ioi=home1.example",
    )
    wanted = admit(request, _TERMS)
    assert isinstance(wanted, Wanted), wanted
    begun = rules.subscribe(None, wanted, now_ms).subscription
    assert begun is not None
    return begun


def watching(user: User, s_cscf: str, now_ms: int, *, call_id: str = "") -> Watch:
    """Return our watch of the user's registration, told once; `call_id` in place of its own."""
    asking, request = watch_rules.next_request(
        watch.wanted(user.aor, now_ms),
        _PLAN,
        Core(),
        s_cscf=s_cscf,
        registered=True,
        token=_TOKEN,
        jitter=0.5,
        now_ms=now_ms,
    )
    assert request is not None
    asking = asking._replace(
        asked_ms=0, dialog=asking.dialog._replace(call_id=call_id or asking.dialog.call_id)
    )
    heard = Heard("peer", 1, f"<{s_cscf}>", "")
    notified = Notified(
        asking.dialog.call_id, _TOKEN, heard, watch.REG, f"active;expires={_WEEK_S}", "", b"", now_ms
    )
    taken = watch_rules.on_notify(asking, notified, _PLAN, jitter=0.5, gone=False)
    assert taken.watch is not None, taken.answer
    return watch_rules.on_document(taken.watch, 0, full=True, jitter=0.5)


def alike_registration(one: Registration, user: User) -> Registration:
    """Return for `user` what `registration` would, made from that of another: some 20 times faster."""
    [contact] = one.contacts
    name = user.instance.strip("<>")
    features = tuple(
        (name, user.instance if name == "+sip.instance" else value) for name, value in contact.features
    )
    device = contact._replace(uri=user.uri, instance=name, features=features)
    return one._replace(aor=user.aor, contacts=(device,), associated=(user.aor,))


def alike_subscription(one: Subscription, user: User) -> Subscription:
    """Return for `user` what `subscription` would, made from that of another."""
    call_id = _call_id(user)
    identifier = subscription_id(user.aor, call_id, one.dialog.remote_tag)
    dialog = one.dialog._replace(call_id=call_id, remote_uri=user.aor, local_tag=identifier)
    return one._replace(id=identifier, aor=user.aor, dialog=dialog, device=user.instance.strip("<>"))


def put_registrations(store: Store, number: int, s_cscf: str, first: int = 0) -> None:
    """Register users, from number `first` on, at one S-CSCF."""
    now_ms = clock.now_ms()
    one = registration(User.number(first), s_cscf, now_ms)
    lifetime_ms = _HOUR_S * 1000 + registrations.KEPT_AFTER_END_MS

    def put(pipe: Pipeline, user: User) -> None:
        name = keys.registration(store.layout.user_shard(user.aor), user.aor)
        pipe.set(name, codec.encode(alike_registration(one, user)), px=lifetime_ms)

    _for_each(store, number, first, put)


def put_subscriptions(store: Store, number: int, application: str, port: int) -> None:
    """Have the first users' devices subscribe to an application, each told once; see `subscription`."""
    now_ms = clock.now_ms()
    one = subscription(User.number(0), application, port, now_ms)
    for start in range(0, number, _AT_ONCE):
        users = (User.number(index) for index in range(start, min(start + _AT_ONCE, number)))
        made = [alike_subscription(one, user) for user in users]
        subscriptions.change_all(store, {each.id: partial(_placed, each) for each in made})
        ids = [each.id for each in made]
        begun = subscriptions.begin_notifies(store, ids, transaction_ms=_TRANSACTION_MS)
        subscriptions.end_notifies(store, [(each.subscription.id, each.cseq) for each in begun if each])


def _placed(new: Subscription, _old: Subscription | None) -> Placed[None]:
    return Placed(new, None, None)


def put_capabilities(store: Store, number: int) -> None:
    """Have a device of each of the first users be known to refuse a type: what a push to it taught."""
    now_ms = clock.now_ms()
    facts = Facts(ANY_DEVICE, "answer", now_ms, now_ms + _HOUR_S * 1000, "news.ua", refused=("video/mp4",))

    def put(pipe: Pipeline, user: User) -> None:
        record = capabilities.merge(None, user.aor, [facts], now_ms)
        name = keys.capabilities(store.layout.user_shard(user.aor), target(user.aor))
        pipe.set(name, codec.encode(record), px=_HOUR_S * 1000)

    _for_each(store, number, 0, put)


def put_watches(store: Store, number: int, s_cscf: str, call_ids: Callable[[int], str] | None = None) -> None:
    """Have us watch the first users; `call_ids` of the dialogs in place of our own."""
    now_ms = clock.now_ms()
    users = [User.number(index) for index in range(number)]
    for start in range(0, number, _AT_ONCE):
        found = watches.read_all(
            store, [watch.place_of(_subject(user)) for user in users[start : start + _AT_ONCE]]
        )
        changes = [
            Change(was.data, watching(user, s_cscf, now_ms, call_id=call_ids(index) if call_ids else ""))
            for index, (user, was) in enumerate(
                zip(users[start : start + _AT_ONCE], found, strict=True), start
            )
        ]
        assert all(watches.replace(store, changes))


def _for_each(store: Store, number: int, first: int, put: Callable[[Pipeline, User], None]) -> None:
    numbers = iter(range(first, first + number))
    while batch := list(islice(numbers, _AT_ONCE)):
        pipe = store.db.pipeline(transaction=False)
        for index in batch:
            put(pipe, User.number(index))
        pipe.execute()
