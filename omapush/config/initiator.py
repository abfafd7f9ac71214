"""Push initiators of the configuration file: who they are, and what they may do."""

from __future__ import annotations

from typing import Annotated, Final, Literal, get_args

from msgspec import Meta

from omapush.config.secret_files import first_line
from omapush.config.sections import Count, Section

SipMethod = Literal["NOTIFY", "REFER", "MESSAGE", "INVITE", "INDIRECT"]
Operation = Literal["submit", "subscribers", "lists", "cancel", "status", "users", "subscriptions"]

SHORTEST_SECRET: Final = 16
"Characters of a webhook secret at least."


class Initiator(Section, frozen=True):
    """One push initiator: `[initiator.NAME]`, where NAME is also the HTTP Basic user name."""

    password_hash: str = ""
    """
    Hash of the password, made by `omapush initiator hash`. An Argon2id hash in PHC form from another tool
    is accepted too, up to 256 MB and ten passes.
    """
    password: str = ""
    """
    The password itself, instead of its hash. Use this only in a laboratory: whoever can read the file can
    push.
    """
    password_file: str = ""
    """File whose first line is the password, instead of its hash."""
    subject: str = ""
    """Value of the claim `tokens.claim` in the bearer tokens of this initiator. Empty: it has no tokens."""
    certificate_names: tuple[str, ...] = ()
    """
    Names in its client certificates (`api.trusted_certificates`): a dNSName or URI of subjectAltName, or
    the common name of a certificate without any.
    """
    addresses: tuple[str, ...] = ()
    """Addresses or networks that it may come from. Empty: anywhere."""
    applications: tuple[str, ...] = ("*",)
    """Applications that it may push to; `*` for all."""
    recipients: tuple[str, ...] = ("*",)
    """Recipients that it may push to: shell patterns for the address of record."""
    methods: tuple[SipMethod, ...] = get_args(SipMethod)
    """Methods that it may ask for. If it asks for none, the application decides."""
    operations: tuple[Operation, ...] = get_args(Operation)
    """
    What it may do: `submit` pushes; push to all `subscribers` of an application, and pause, resume or
    abort that; keep `lists` and push to them; `cancel` and replace pushes; ask for the `status` of its
    pushes; ask about `users` (registrations, subscriptions, capabilities); end `subscriptions` of
    devices.
    """
    notify_hosts: tuple[str, ...] = ()
    """
    Hosts that its results may be posted to, or `*.provider.example` for all hosts below that domain.
    Empty: any host. `notify.targets` applies as well.
    """
    trusted: bool = True
    """Assert an identity (P-Asserted-Identity) for its pushes."""
    identity: str = ""
    """The identity that is asserted for it, a SIP or tel URI. Empty: `sip.uri`."""
    rate: Annotated[float, Meta(ge=0, le=1_000_000)] = 0.0
    """Deliveries a second that it may submit; a push to ten recipients counts as ten. 0: no limit."""
    burst: Count = 100
    """
    With `rate`: deliveries that it may submit at once after a quiet time. A push to more recipients uses
    the whole burst.
    """
    outstanding: Annotated[int, Meta(ge=0, le=100_000_000)] = 0
    """How many of its deliveries may be without a final result. 0: no limit."""
    daily: Annotated[int, Meta(ge=0, le=1_000_000_000)] = 0
    """Deliveries that it may submit from midnight to midnight, UTC. 0: no limit."""
    webhook_secrets: tuple[str, ...] = ()
    """
    Secrets that sign results posted as JSON, of at least 16 characters each: one, or the new and the old
    one during a change. Without a secret, this initiator cannot ask for such results.
    """
    webhook_secret_files: tuple[str, ...] = ()
    """Files whose first lines are such secrets, instead."""

    @property
    def is_plain(self) -> bool:
        """Tell whether its password can be read on this machine."""
        return bool(self.password or self.password_file)

    def secret(self, where: str = "initiator") -> str:
        """
        Return the password, from the first line of its file if one is named; empty when only a hash is.

        Raises:
            BadConfiguration: the file cannot be read or is empty; `where` is the key that the text names.
        """
        return (
            first_line(self.password_file, f"{where}.password_file") if self.password_file else self.password
        )

    def signing_secrets(self, where: str = "initiator") -> tuple[str, ...]:
        """
        Return the secrets of its webhooks, the newest first; empty when there is none.

        Raises:
            BadConfiguration: a file cannot be read or is empty.
        """
        files = [first_line(file, f"{where}.webhook_secret_files") for file in self.webhook_secret_files]
        return (*self.webhook_secrets, *files)

    def __repr__(self) -> str:
        return f"Initiator(applications={self.applications}, trusted={self.trusted}, password=***)"
