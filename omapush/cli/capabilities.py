"""`omapush capabilities`: what a user's devices take, who says so, and since when."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from omapush import clock
from omapush.cli import terminal, watched
from omapush.errors import PushRefused
from omapush.push.capabilities import Facts, resolved
from omapush.push.capability_sources import facts_of_registration
from omapush.push.profile_document import Profile
from omapush.push.user_named import user_named
from omapush.push.watch import PRESENCE
from omapush.store import capabilities as store
from omapush.store import client, profiles, registrations, watches
from omapush.views.device_facts import listed


def capabilities(
    context: typer.Context,
    aor: Annotated[str, typer.Argument(metavar="AOR", help="One user, such as sip:alice@home1.example.")],
    as_json: terminal.AsJson = False,
) -> None:
    """Show what each source says about a user's devices, how old that is, and their known profiles."""
    db = client.connect(terminal.settings(context).redis)
    now_ms = clock.now_ms()
    identity = registrations.sip_identity(db, user_named(aor, "AOR"))
    record = store.read(db, identity)
    facts = (
        *resolved(record, profiles.characteristics(db, [record]), now_ms),
        *facts_of_registration(registrations.read(db, identity), now_ms),
    )
    watch = watches.read(db, identity, PRESENCE)
    if not facts and watch is None:
        raise PushRefused(f"{identity}: nothing is known about the devices of this user")
    urls = dict.fromkeys(one.profile_url for one in facts if one.profile_url)
    documents = {url: profiles.read(db, url) for url in urls}
    if as_json:
        terminal.print_json({**as_dict(identity, facts, documents), "presence": watched.as_dict(watch)})
        return
    _print(facts, documents, now_ms)
    if watch is not None:
        terminal.console().print(f"presence: {watched.as_text(watch, now_ms)}", markup=False, highlight=False)


def as_dict(aor: str, facts: tuple[Facts, ...], documents: dict[str, Profile | None]) -> dict[str, Any]:
    """Return what is known as `--json` shows it."""
    return {
        "aor": aor,
        "facts": [_fact_dict(one) for one in facts],
        "profiles": [_profile_dict(url, profile) for url, profile in documents.items()],
    }


def _profile_dict(url: str, profile: Profile | None) -> dict[str, Any]:
    fetched = clock.iso(profile.fetched_ms) if profile is not None and profile.document else None
    return {"url": url, "state": _state(profile), "fetched": fetched}


def _fact_dict(facts: Facts) -> dict[str, Any]:
    return {
        "device": facts.device or None,
        "source": facts.source,
        "at": clock.iso(facts.at_ms),
        "expires": clock.iso(facts.expires_ms),
        "application": facts.application or None,
        "types": facts.types,
        "refused": facts.refused,
        "encodings": facts.encodings,
        "applications": facts.applications,
        "largest_bytes": facts.largest_bytes,
        "methods": facts.methods,
        "profile_url": facts.profile_url or None,
    }


def _state(profile: Profile | None) -> str:
    if profile is None:
        return "not fetched yet"
    if not profile.failures:
        return "fetched"
    return f"failed {profile.failures} times: {profile.problem}"


def _print(facts: tuple[Facts, ...], documents: dict[str, Profile | None], now_ms: int) -> None:
    console = terminal.console()
    listing = terminal.table("DEVICE", "SOURCE", "SAYS", "AGE", "HOLDS")
    for one in facts:
        listing.add_row(
            one.device or "any",
            one.source,
            "\n".join(_says(one)) or "-",
            terminal.span(now_ms - one.at_ms),
            terminal.span(one.expires_ms - now_ms),
        )
    console.print(listing)
    for url, profile in documents.items():
        console.print(f"{url}: {_state(profile)}", markup=False, highlight=False)


def _says(facts: Facts) -> list[str]:
    lines = [f"{name}: {value}" for name, value in listed(facts)]
    if facts.largest_bytes is not None:
        lines.append(f"at most {facts.largest_bytes} bytes")
    if facts.application:
        lines.append(f"only for {facts.application}")
    return lines
