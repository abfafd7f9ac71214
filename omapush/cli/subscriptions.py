"""`omapush subscriptions`: which devices subscribe to what; `omapush subscription`: end or approve one."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any, Final, Literal

import typer

from omapush import clock
from omapush.cli import audit_note, terminal
from omapush.errors import PushRefused
from omapush.push import subscription as rules
from omapush.push.subscribe import is_ours
from omapush.push.subscription import Subscription
from omapush.push.user_named import user_named
from omapush.store import client, outbox, registrations
from omapush.store import subscriptions as store
from omapush.store.subscriptions import Placed

_UNKNOWN: Final = "no such subscription is known; `omapush subscriptions` lists them"

app = typer.Typer(help="End or approve one subscription.", no_args_is_help=True)

Id = Annotated[str, typer.Argument(metavar="ID", help="Id, as shown by `omapush subscriptions`.")]
Application = Annotated[
    str, typer.Option("--app", metavar="ARI", help="Only subscriptions to this application.")
]
Reason = Annotated[
    Literal["rejected", "deactivated", "noresource"],
    typer.Option(
        help="Reason told to the device: after rejected and noresource it must not come back, after "
        "deactivated it may subscribe again at once."
    ),
]


def subscriptions(
    context: typer.Context,
    aor: Annotated[
        str | None, typer.Argument(metavar="[AOR]", help="One user, such as sip:alice@home1.example.")
    ] = None,
    application: Application = "",
    as_json: terminal.AsJson = False,
) -> None:
    """List the subscriptions of devices, for all users or for one."""
    db = client.connect(terminal.settings(context).redis)
    found = _found(db, user_named(aor, "AOR") if aor else "", application)
    now_ms = clock.now_ms()
    ordered = sorted(found, key=lambda one: (one.aor, one.application, one.id))
    if as_json:
        terminal.print_json([as_dict(one, now_ms) for one in ordered])
        return
    if not ordered:
        print("No such subscription: no device has asked for one, or it has ended.")
        return
    listing = terminal.table("user", "to", "device", "state", "left", "id")
    for one in ordered:
        to = one.application or "device profile"
        left = terminal.span(max(one.expires_ms - now_ms, 0))
        listing.add_row(one.aor, to, one.device, _state(one), left, one.id)
    terminal.console().print(listing)


def _found(db: client.Store, aor: str, application: str) -> Iterable[Subscription]:
    if aor:
        user = registrations.sip_identity(db, aor)
        return (one for one in store.of_user(db, user) if application in ("", one.application))
    return store.of_application(db, application) if application else store.everything(db)


def _state(one: Subscription) -> str:
    return f"{one.state} ({one.reason})" if one.reason else one.state


def as_dict(one: Subscription, now_ms: int) -> dict[str, Any]:
    """Return a subscription as `--json` shows it."""
    return {
        "id": one.id,
        "aor": one.aor,
        "profile": one.profile,
        "application": one.application,
        "state": one.state,
        "reason": one.reason,
        "device": one.device,
        "vendor": one.vendor,
        "model": one.model,
        "accept": list(one.accept),
        "contact": one.dialog.remote_target,
        "expires": clock.iso(one.expires_ms),
        "seconds_left": rules.left_s(one, now_ms),
        "call_id": one.dialog.call_id,
        "updated": clock.iso(one.at_ms),
    }


@app.command()
def end(context: typer.Context, subscription_id: Id, reason: Reason = "rejected") -> None:
    """End a subscription: its device gets a last NOTIFY that says so."""
    config = terminal.settings(context)
    audit_note.note(config, "end-subscription", subscription_id, reason=reason)
    db = client.connect(config.redis)
    now_ms = clock.now_ms()

    def rule(old: Subscription | None) -> Placed[str]:
        if old is None:
            return Placed(None, None, _UNKNOWN)
        ended = rules.terminated(old, reason, now_ms)
        return Placed(ended or old, 0 if ended else None, "" if ended else "has ended already")

    _carry_out(db, subscription_id, rule)


@app.command()
def approve(context: typer.Context, subscription_id: Id) -> None:
    """Approve a subscription that waits for it: its device is told, and pushes that wait for it go out."""
    config = terminal.settings(context)
    audit_note.note(config, "approve-subscription", subscription_id)
    db = client.connect(config.redis)
    users: list[str] = []

    def rule(old: Subscription | None) -> Placed[str]:
        if old is None:
            return Placed(None, None, _UNKNOWN)
        users.append(old.aor)
        approved = rules.approved(old)
        return Placed(approved or old, 0 if approved else None, "" if approved else f"is {old.state}")

    _carry_out(db, subscription_id, rule)
    outbox.wake_targets(db, users[-1:])


def _carry_out(db: client.Store, subscription_id: str, rule: store.Rule[str]) -> None:
    if not is_ours(subscription_id):
        raise PushRefused(f"{subscription_id}: an id has 32 hexadecimal digits")
    problem = store.change(db, subscription_id, rule)
    if problem:
        raise PushRefused(f"{subscription_id}: {problem}")
