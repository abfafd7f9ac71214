"""`omapush registrations AOR --match HEADER`: which of a user's contacts a request would reach, and why."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Annotated, Any, NamedTuple

import typer

from omapush.cli import terminal
from omapush.errors import MalformedSip, shortened
from omapush.protocol.feature_sets import ACCEPT_CONTACT, REJECT_CONTACT
from omapush.push.caller_preferences import UNSTATED_Q, Matching, Verdict, match
from omapush.push.device_choice import target_of
from omapush.push.registration import Registration

Headers = Annotated[
    list[str] | None,
    typer.Option(
        "--match",
        metavar="HEADER",
        help="'Accept-Contact: ...' or 'Reject-Contact: ...': show for each contact whether a request with "
        "this header would go to it; repeatable.",
    ),
]
Method = Annotated[str, typer.Option("--method", help="Method of the request for --match.")]

_NAMES = {"accept-contact": "accept", "a": "accept", "reject-contact": "reject", "j": "reject"}


class Preferences(NamedTuple):
    """The caller preferences of one request."""

    accept: tuple[str, ...]
    reject: tuple[str, ...]


def read_headers(lines: Iterable[str]) -> Preferences:
    """
    Return the values of header lines, compact names included.

    Raises:
        MalformedSip: another header.
    """
    found: dict[str, list[str]] = {"accept": [], "reject": []}
    for line in lines:
        name, colon, value = line.partition(":")
        kind = _NAMES.get(name.strip().lower()) if colon else None
        if kind is None:
            raise MalformedSip(
                "--match", f"{shortened(line)} is neither {ACCEPT_CONTACT}: ... nor {REJECT_CONTACT}: ..."
            )
        found[kind].append(value.strip())
    return Preferences(tuple(found["accept"]), tuple(found["reject"]))


def show(record: Registration, lines: Sequence[str], method: str, now_ms: int, *, as_json: bool) -> None:
    """Print for each live contact whether it is kept and why, in order of preference."""
    wanted = read_headers(lines)
    live = [target_of(contact) for contact in record.contacts if contact.expires_ms > now_ms]
    matching = match(live, wanted.accept, wanted.reject, method=method.upper())
    if as_json:
        terminal.print_json(as_dict(record.aor, matching))
        return
    if not live:
        print(f"{record.aor} has no live contact that is known: nothing to match.")
        return
    listing = terminal.table("", "CONTACT", "Q", "SCORE", "WHY")
    for verdict in matching.verdicts:
        listing.add_row(
            "kept" if verdict.kept else "dropped",
            verdict.target.uri,
            f"{_q(verdict):g}",
            f"{verdict.score:.2f}" if verdict.kept else "-",
            "\n".join(_words(verdict)),
        )
    terminal.console().print(listing)
    for problem in matching.problems:
        print(f"note: {problem}")
    if not matching.kept:
        print("Nobody is left: the core answers such a request 480.")


def as_dict(aor: str, matching: Matching) -> dict[str, Any]:
    """Return a matching as `--json` shows it."""
    return {
        "aor": aor,
        "contacts": [
            {
                "uri": verdict.target.uri,
                "kept": verdict.kept,
                "q": _q(verdict),
                "score": verdict.score,
                "reasons": _words(verdict),
            }
            for verdict in matching.verdicts
        ],
        "problems": list(matching.problems),
    }


def _q(verdict: Verdict) -> float:
    return UNSTATED_Q if verdict.target.q is None else verdict.target.q


def _words(verdict: Verdict) -> list[str]:
    """The reasons; whether it is kept stands beside them."""
    return [reason.partition(": ")[2] for reason in verdict.reasons]
