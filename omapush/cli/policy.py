"""`omapush policy`: what the rules say of a push, and what other rules would have said of those of a day."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Annotated, Any, Final

import typer

from omapush import clock, config
from omapush.cli import terminal
from omapush.errors import PushRefused
from omapush.pap_http import device_documents
from omapush.protocol.feature_tags import ari_of_application_id
from omapush.push.policy import Case, Verdict, judge, rules_of
from omapush.push.user_named import user_named
from omapush.store import client, own_pushes, pushes
from omapush.store.client import Store

app = typer.Typer(
    help="Test the rules about who may push what to whom (tables policy.NAME).", no_args_is_help=True
)
_PAGE: Final = 500
_SHOWN: Final = 20
"Changes that are listed one by one."


@app.command(name="test")
def judge_one(
    context: typer.Context,
    initiator: Annotated[str, typer.Option("--initiator", help="Initiator of the push.")],
    to: Annotated[str, typer.Option("--to", help="Recipient, a SIP or tel URI.")],
    application: Annotated[str, typer.Option("--app", help="Application, such as mms.ua.")],
    content_type: Annotated[str, typer.Option("--type", help="Content type.")] = "text/plain",
    at: Annotated[
        str,
        typer.Option("--at", metavar="TIME", help="Time of the push, as 2026-01-31T23:00Z; default: now."),
    ] = "",
    as_json: terminal.AsJson = False,
) -> None:
    """Show which rule of each layer decides about a push; exit code 1 if the push is denied."""
    settings = terminal.settings(context)
    if initiator not in settings.initiator:
        known = ", ".join(settings.initiator) or "none"
        raise PushRefused(f"--initiator: {initiator} is not in the configuration; known are {known}")
    rules = rules_of(settings.policy)
    case = Case(
        initiator,
        ari_of_application_id(application),
        user_named(to, "--to"),
        content_type,
        _moment_ms(at),
    )
    verdict = judge(rules, case)
    if as_json:
        terminal.print_json({"allowed": verdict.allowed, "decided": dict(verdict.decided)})
    else:
        for layer, name in verdict.decided:
            print(f"{layer:12} {name or 'no rule fits: passes'}")
        print("allowed" if verdict.allowed else "denied")
    if not verdict.allowed:
        raise terminal.fail(verdict.why)


@app.command()
def replay(
    context: typer.Context,
    proposed: Annotated[
        str, typer.Option("--proposed", metavar="FILE", help="Configuration file with the rules to try.")
    ],
    hours: Annotated[
        float, typer.Option(min=0.01, max=744, help="Pushes of the last hours, this many.")
    ] = 24,
    as_json: terminal.AsJson = False,
) -> None:
    """Apply the rules of another file to the remembered pushes, and list what would change."""
    settings = terminal.settings(context)
    now, then = rules_of(settings.policy), rules_of(config.load(proposed).policy)
    store = client.connect(settings.redis)
    since_ms = clock.now_ms() - int(hours * 3_600_000)
    counts: Counter[str] = Counter()
    changes: list[dict[str, Any]] = []
    for push_id, case in _cases(store, list(settings.initiator), since_ms):
        before, after = judge(now, case), judge(then, case)
        counts[_word(before, after)] += 1
        if before.allowed != after.allowed and len(changes) < _SHOWN:
            changes.append(_change(push_id, case, before, after))
    if as_json:
        terminal.print_json({"counts": counts, "changes": changes})
        return
    for word, number in sorted(counts.items()):
        print(f"{word:14} {number}")
    if changes:
        listing = terminal.table(*changes[0])
        for change in changes:
            listing.add_row(*(str(value) for value in change.values()))
        terminal.console().print(listing)


@app.command(name="device-document")
def device_document(
    context: typer.Context,
    aor: Annotated[str, typer.Argument(metavar="URI", help="User, such as sip:alice@home1.example.")],
    link: Annotated[bool, typer.Option("--link", help="Print the link where a device can fetch it.")] = False,
) -> None:
    """Print the whitelist for a user's devices: who may push to them, as a Push Management Object."""
    settings = terminal.settings(context)
    user = user_named(aor, "AOR")
    if not link:
        sys.stdout.write(device_documents.document_of(settings, user).decode())
        return
    url = device_documents.link_of(settings, user)
    if not url:
        raise terminal.fail("device_document.key_file names no key: no links are served")
    print(url)


def _word(before: Verdict, after: Verdict) -> str:
    if before.allowed == after.allowed:
        return "still allowed" if after.allowed else "still denied"
    return "newly allowed" if after.allowed else "newly denied"


def _change(push_id: str, case: Case, before: Verdict, after: Verdict) -> dict[str, Any]:
    decisive = after if not after.allowed else before
    return {
        "change": _word(before, after),
        "rule": decisive.decided[-1][1],
        "push": push_id,
        "initiator": case.initiator,
        "application": case.application,
        "recipient": case.recipient or "all subscribers",
        "type": case.content_type,
        "submitted": clock.iso(case.at_ms),
    }


def _cases(store: Store, initiators: list[str], since_ms: int) -> Iterator[tuple[str, Case]]:
    """Every remembered push to every recipient, initiator by initiator, newest first."""
    until_ms = clock.now_ms()
    for initiator in initiators:
        before = None
        while places := own_pushes.page(
            store, [initiator], before=before, since_ms=since_ms, until_ms=until_ms, most=_PAGE
        ):
            before = places[-1]
            for place in places:
                yield from _of_push(store, place.ref)


def _of_push(store: Store, ref: str) -> Iterator[tuple[str, Case]]:
    known = pushes.read(store, ref, events=False)
    if known is None:
        return
    push = known.push
    whom = [one.aor for one in known.recipients if one.aor] or [""]
    for aor in whom:
        yield push.push_id, Case(push.initiator, push.application, aor, push.content_type, push.accepted_ms)


def _moment_ms(text: str) -> int:
    if not text:
        return clock.now_ms()
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise PushRefused(f"--at: {text} is no time such as 2026-01-31T23:00Z") from None
    return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1000)
