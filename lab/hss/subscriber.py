"""What the HSS knows of a subscriber."""

from __future__ import annotations

from dataclasses import dataclass, field

from omapush.receiver.milenage import Sim


@dataclass(frozen=True, slots=True)
class Subscriber:
    """One private identity, the public identities that are registered together with it, and its secret."""

    impi: str
    "Private identity, such as `alice@home1.example`."
    impus: tuple[str, ...]
    "Public identities of the implicit registration set; the first is the default one."
    password: str = field(default="", repr=False)
    "For SIP Digest; used when there is no `sim`."
    sim: Sim | None = field(default=None, repr=False)
    "For AKA."


@dataclass(frozen=True, slots=True)
class Criterion:
    """An initial filter criterion: which requests of a served user go to an application server first."""

    server: str
    "SIP URI of the application server."
    method: str
    session_case: int | None = None
    "0 originating, 1 terminating registered, 2 terminating unregistered (TS 29.228 B.2.3); None: any."
    event: str = ""
    "Value of the Event header that must be there; empty: any."
    include_register: bool = False
    "The user's REGISTER rides in the body of the third-party REGISTER."
