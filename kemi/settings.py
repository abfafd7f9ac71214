"""What every SIP process knows from the start: configuration, identity, and who is trusted."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache, partial

from omapush import config
from omapush.config import Application, Config, Retry
from omapush.errors import MalformedSip
from omapush.protocol.sip_servers import Kind
from omapush.protocol.sip_uri import address_of_record, host_and_port
from omapush.push import hosted_subscription, trust
from omapush.push.method_choice import Rules
from omapush.push.page_mode import Profile, Sender
from omapush.push.retry import DEFAULTS, MOST_REFUSED, REASONS, RetryPlan, RetryPlans
from omapush.push.subscribe import Terms
from omapush.push.subscription import Notifier
from omapush.push.trust import Certificate, Domain, Inside
from omapush.push.watch import PRESENCE, REG, Package, Plan, Subject, content_package


@dataclass(frozen=True)
class Settings:
    """Made once, before Kamailio forks."""

    config: Config
    node: str
    "This node among all; the same after a restart."
    run: str
    "This start of Kamailio; requests in flight of an earlier run are known to be lost."
    sender: Sender
    own_aor: str
    profile: Callable[[str, str], Profile]
    "How pushes of an application (ARI) and an initiator leave. Peers name applications: few are remembered."
    rules: Callable[[str], Rules]
    "What an application's profile says about sending."
    retry_plans: tuple[RetryPlans, ...]
    "When pushes are tried again: of applications without a table, then of each that has one."
    places: dict[str, int]
    "Which of them is an application's; the same after a reload, for requests in flight name it."
    labels: tuple[str, ...]
    "The application at each place, for metrics; in the first place `other`."
    alternatives: dict[str, tuple[str, ...]]
    "Further addresses of next hops, by host and port of theirs."
    terms: Terms
    "On what terms devices may subscribe."
    notifier: Notifier
    "Who we are in the dialogs of subscribers."
    inside: Inside
    "What belongs to the trust domain."

    @staticmethod
    def load() -> Settings:
        """Return the settings of this node; BadConfiguration stops the start of Kamailio."""
        return Settings.of(config.load(), secrets.token_hex(4), {})

    def after(self, values: Config) -> Settings:
        """Return the settings of the same start of Kamailio with another configuration."""
        return Settings.of(values, self.run, self.places)

    def retry_index(self, application: str) -> int:
        """Return which of the retry plans are an application's."""
        return self.places.get(application, 0)

    def label_of(self, place: int) -> str:
        """Return the application at a place of the retry plans, for metrics; `other`: it has no table."""
        return self.labels[place] if place < len(self.labels) else self.labels[0]

    @staticmethod
    def of(values: Config, run: str, former: dict[str, int]) -> Settings:
        """Return the settings of a start of Kamailio; `former`: places that retry plans have already."""
        sent_by = next(listen for listen in values.sip.listen if listen.startswith("udp:"))[len("udp:") :]
        contact = _contact(values, sent_by)
        known = list(dict.fromkeys((*former, *values.application)))
        return Settings(
            config=values,
            node=values.node,
            run=run,
            sender=Sender(values.sip.uri, contact, values.core.ioi, values.core.next_hop),
            own_aor=address_of_record(values.sip.uri, field="sip.uri"),
            profile=lru_cache(maxsize=1024)(partial(_profile, values)),
            rules=lru_cache(maxsize=1024)(partial(_rules, values)),
            retry_plans=tuple(_retry_plans(values.profile(ari)) for ari in ("", *known)),
            places={ari: place for place, ari in enumerate(known, 1)},
            labels=("other", *known),
            alternatives=_alternatives(values),
            terms=Terms(
                values.subscriptions.least_s,
                values.subscriptions.most_s,
                values.routing,
                values.application,
                Application(),
                values.subscriptions.require_identity,
            ),
            notifier=Notifier(f"sip:{contact}", values.core.ioi),
            inside=Inside(Domain(values.core.trusted_peers, values.core.trusted_names), _next_hops(values)),
        )

    @property
    def watch_plans(self) -> dict[Package, Plan]:
        """How we subscribe: a plan for each package of users that is watched, and each hosted application."""
        section, capabilities = self.config.registration, self.config.capabilities
        plan = Plan(
            sender_uri=self.sender.uri,
            sent_by=self.sender.sent_by,
            ioi=self.sender.ioi,
            identity=section.identity,
            expires_s=section.expires_s,
            first_retry_ms=int(section.first_retry_s * 1000),
            longest_retry_ms=int(section.longest_retry_s * 1000),
        )
        # Who may see a user's presence is for the user's rules to say: nobody is asserted but us.
        of_presence = plan._replace(
            identity="as",
            expires_s=capabilities.presence_s,
            event=PRESENCE,
            headers=("Accept: application/pidf+xml",),
        )
        watched: dict[Package, tuple[bool, Plan]] = {
            REG: (section.watch, plan),
            PRESENCE: (capabilities.presence, of_presence),
        }
        of_users = {package: plan for package, (is_on, plan) in watched.items() if is_on}
        return of_users | {
            content_package(ari): hosted_subscription.plan_of(
                plan, ari, terms, identity=terms.identity or self.sender.uri, expires_s=terms.subscribe_s
            )
            for ari, terms in self.config.hosted.items()
            if terms.subscribe
        }

    @property
    def subscribers(self) -> dict[Package, str]:
        """The hosted applications that subscribe, by the package of their subscriptions."""
        return {content_package(ari): ari for ari, terms in self.config.hosted.items() if terms.subscribe}

    @property
    def standing(self) -> tuple[Subject, ...]:
        """Subscriptions that configuration asks for."""
        return tuple(
            Subject(uri, content_package(ari))
            for ari, terms in self.config.hosted.items()
            for uri in terms.subscribe
        )

    @property
    def transports(self) -> tuple[str, ...]:
        """Transports that we speak, in the order of `sip.listen`."""
        return tuple(dict.fromkeys(listen.partition(":")[0] for listen in self.config.sip.listen))

    @property
    def families(self) -> tuple[Kind, ...]:
        """Which addresses of next hops we can reach, as DNS names them, in the order of `sip.listen`."""
        kinds: tuple[Kind, ...] = tuple("AAAA" if "[" in one else "A" for one in self.config.sip.listen)
        return tuple(dict.fromkeys(kinds))

    @property
    def udp_ports(self) -> frozenset[int]:
        """Ports of our UDP sockets."""
        listens = (listen for listen in self.config.sip.listen if listen.startswith("udp:"))
        return frozenset(int(listen.rpartition(":")[2]) for listen in listens)

    def is_trusted(self, address: str, certificate: Certificate | None = None) -> bool:
        """Tell whether a peer belongs to the trust domain; `certificate`: of one that came by TLS."""
        return _is_trusted(self.inside.domain, address, certificate)

    def is_own_identity(self, uri: str) -> bool:
        """Tell whether a URI names our public service identity, however it is written."""
        return _identity(uri) == self.own_aor


def _profile(values: Config, application: str, initiator: str) -> Profile:
    settings = values.profile(application)
    account = values.initiator.get(initiator)
    trusted = account is not None and account.trusted
    return Profile(
        application=application,
        accept_contact=settings.accept_contact,
        wrapped=settings.form == "wrapped",
        gzip=settings.gzip,
        push_id_header=settings.push_id_header,
        priority_header=settings.priority_header,
        asserted=(account.identity or values.sip.uri) if account is not None and trusted else "",
    )


def _alternatives(values: Config) -> dict[str, tuple[str, ...]]:
    core = values.core
    own = {host_and_port(core.next_hop): core.next_hops} if core.next_hops else {}
    return {**own, **{name.lower(): others for name, others in core.addresses.items()}}


def _retry_plans(profile: Application) -> RetryPlans:
    """Each reason's own plan, else the one for all, else what we think right."""
    plans: dict[str, RetryPlan] = {}
    for reason in REASONS:
        said = getattr(profile, f"retry_{reason}") or profile.retry
        plans[reason] = _plan(said) if said else DEFAULTS.of(reason)
    refused = plans.pop("refused")
    return RetryPlans(
        **plans,
        refused=refused._replace(attempts=min(refused.attempts, MOST_REFUSED)),
        hold_absent=profile.when_unregistered == "hold",
    )


def _plan(said: Retry) -> RetryPlan:
    return RetryPlan(said.attempts, int(said.first_s * 1000), int(said.longest_s * 1000), said.growth)


def _rules(values: Config, application: str) -> Rules:
    profile = values.profile(application)
    return Rules(
        profile.when_unregistered,
        profile.when_no_match,
        values.delivery.message_bytes,
        values.delivery.notify_bytes,
        profile.methods,
        profile.form == "wrapped",
        sessions=values.sessions.enabled,
        links=True,
    )


@lru_cache(maxsize=1024)
def _identity(uri: str) -> str:
    """The address of record that a peer's URI names; empty when it names none."""
    try:
        return address_of_record(uri)
    except MalformedSip:
        return ""


_is_trusted = lru_cache(maxsize=4096)(trust.is_trusted)


def _contact(values: Config, udp: str) -> str:
    """Where the core reaches us: at the front, or by TLS when that is how we reach it."""
    if values.sip.contact:
        return values.sip.contact
    if ";transport=tls" not in values.core.next_hop.lower():
        return udp
    tls = next(listen for listen in values.sip.listen if listen.startswith("tls:"))
    return f"{tls.removeprefix('tls:')};transport=tls"


def _next_hops(values: Config) -> frozenset[str]:
    core = values.core
    others = (uri for uris in core.addresses.values() for uri in uris)
    return frozenset(trust.host_of(uri) for uri in (core.next_hop, *core.next_hops, *others))
