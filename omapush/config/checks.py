"""What the configuration must keep beyond the type of each single key."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, get_args
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from omapush.config import shared_memory
from omapush.config.api_checks import check_api
from omapush.config.files import check_file
from omapush.config.forms import (
    AOR_PATTERN,
    ARI,
    EVENT,
    HOST,
    HOST_AND_PORT,
    HOST_PATTERN,
    HTTP_LISTEN,
    HTTP_URL,
    IOI,
    MEDIA_TYPE,
    SIP_LISTEN,
    SIP_URI,
    require,
    require_recipients,
)
from omapush.config.initiator_checks import check_identities, check_initiator, check_networks
from omapush.config.listen_checks import ANYWHERE, check_ports
from omapush.config.quiet import Day
from omapush.config.secret_files import first_line
from omapush.config.tls import check_revocation_lists
from omapush.config.tokens import check_tokens
from omapush.errors import BadConfiguration, shortened

if TYPE_CHECKING:
    from omapush.config import Application, Config, Hosted, Policy

_LONGEST_CONTENT_URL = 200
"Characters before a token, so that the link fits into a MESSAGE."
_SHORTEST_HANG_S = 3.0


def check(config: Config) -> None:
    """Check what a single key's type cannot say."""
    _check_listen(config)
    check_api(config)
    check_networks(f"{config.path}: notify.networks", config.notify.networks)
    check_tokens(config)
    _require(config, "sip.uri", config.sip.uri, SIP_URI, '"sip:psa@home1.example"')
    _check_next_hop(config)
    _require(config, "core.ioi", config.core.ioi, IOI, '"home1.example"')
    if 0 < config.sip.hang_s < _SHORTEST_HANG_S:
        raise BadConfiguration(f"{config.path}: sip.hang_s", f"is below {_SHORTEST_HANG_S:g}, and not 0")
    check_networks(f"{config.path}: core.trusted_peers", config.core.trusted_peers)
    _check_tls(config)
    _check_memory(config)
    _check_redis(config)
    _check_msrp(config)
    _check_content(config)
    _check_trace(config)
    for name, initiator in config.initiator.items():
        check_initiator(config, name, initiator)
    check_identities(config)
    for ari, application in config.application.items():
        _require(config, "application", ari, ARI, '"mms.ua"')
        _check_addresses(config, ari, application)
        _check_methods(config, ari, application)
        _check_quiet_hours(config, ari, application)
    for ari, hosted in config.hosted.items():
        _check_hosted(config, ari, hosted)
    for name, policy in config.policy.items():
        _check_policy(config, f'policy."{shortened(name)}"', policy)
    _check_routing(config)
    _check_subscriptions(config)
    check_ports(config)


def _check_listen(config: Config) -> None:
    for value in config.sip.listen:
        _require(config, "sip.listen", value, SIP_LISTEN, '"udp:127.0.0.1:5070"')
        if value.partition(":")[2].rpartition(":")[0] in ANYWHERE:
            raise BadConfiguration(
                f"{config.path}: sip.listen",
                f'"{value}" is no address that others could answer to, and it stands in Via and Contact; '
                'right would be each address of this machine, such as "udp:192.0.2.10:5070"',
            )
    if not any(value.startswith("udp:") for value in config.sip.listen):
        raise BadConfiguration(f"{config.path}: sip.listen", 'needs at least one "udp:..." address')


def _check_policy(config: Config, where: str, policy: Policy) -> None:
    require_recipients(config.path, f"{where}.recipients", policy.recipients)
    _check_media_types(config, f"{where}.content_types", policy.content_types)
    if policy.hours is not None:
        _check_zone(config, f"{where}.hours", policy.hours.zone)


def _check_media_types(config: Config, where: str, values: tuple[str, ...]) -> None:
    for value in values:
        _require(config, where, value, MEDIA_TYPE, '"text/plain"')


def _check_hosted(config: Config, ari: str, hosted: Hosted) -> None:
    _require(config, "hosted", ari, ARI, '"mms.ua"')
    if ari != ari.lower():
        raise BadConfiguration(f'{config.path}: hosted."{ari}"', "is written in lower case: feature tags are")
    where = f'hosted."{ari}"'
    _check_media_types(config, f"{where}.content_types", hosted.content_types)
    for key in ("recipients", "request_uris", "senders"):
        for pattern in getattr(hosted, key):
            _require(config, f"{where}.{key}", pattern, AOR_PATTERN, '"sip:*@home1.example"')
    for uri in hosted.subscribe:
        _require(config, f"{where}.subscribe", uri, SIP_URI, '"sip:psa@other.example"')
    if len(set(hosted.subscribe)) < len(hosted.subscribe):
        raise BadConfiguration(f"{config.path}: {where}.subscribe", "names a sender twice")
    if hosted.identity:
        _require(config, f"{where}.identity", hosted.identity, SIP_URI, '"sip:mms@as.example"')
    if not hosted.is_stream:
        _require(
            config, f"{where}.backend", hosted.backend, HTTP_URL, '"http://127.0.0.1:8000/", or "stream"'
        )
    elif hosted.answer == "backend":
        raise BadConfiguration(
            f"{config.path}: {where}.answer", 'nobody answers from a stream; right would be "stored"'
        )
    limit_s = max(1, min(32, config.delivery.transaction_s - 8))
    if hosted.answer == "backend" and hosted.answer_within_s >= limit_s:
        raise BadConfiguration(
            f"{config.path}: {where}.answer_within_s",
            f"has to be below {limit_s} s, when Kamailio ends a transaction (delivery.transaction_s - 8)",
        )


def _check_addresses(config: Config, ari: str, application: Application) -> None:
    where = f'application."{ari}"'
    _check_media_types(config, f"{where}.content_types", application.content_types)
    for pattern in application.request_uris:
        _require(config, f"{where}.request_uris", pattern, AOR_PATTERN, '"sip:mms@home1.example"')
    for event in application.events:
        _require(config, f"{where}.events", event, EVENT, '"ua-profile;profile-type=oma-app"')
        names = [param.partition("=")[0].lower() for param in event.split(";")[1:]]
        if len(set(names)) < len(names):
            raise BadConfiguration(f"{config.path}: {where}.events", "names a parameter twice")


def _check_methods(config: Config, ari: str, application: Application) -> None:
    methods = application.methods
    if not methods or len(set(methods)) < len(methods):
        raise BadConfiguration(
            f'{config.path}: application."{ari}".methods', "needs at least one method, and each only once"
        )


def _check_zone(config: Config, where: str, zone: str) -> None:
    try:
        ZoneInfo(zone)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise BadConfiguration(
            f"{config.path}: {where}.zone", f'{shortened(zone)} is no zone; right would be "Europe/Helsinki"'
        ) from error


def _check_quiet_hours(config: Config, ari: str, application: Application) -> None:
    where = f'application."{ari}".quiet_hours'
    for hours in application.quiet_hours:
        _check_zone(config, where, hours.zone)
        for pattern in hours.recipients:
            _require(config, f"{where}.recipients", pattern, AOR_PATTERN, '"sip:*@home1.example"')
        if not hours.days:
            raise BadConfiguration(f"{config.path}: {where}.days", "needs at least one day")
        if hours.start == hours.end and len(set(hours.days)) == len(get_args(Day)):
            raise BadConfiguration(
                f"{config.path}: {where}.end", "is start, on every day: nothing would ever be sent"
            )


def _check_subscriptions(config: Config) -> None:
    least_s, most_s = config.subscriptions.least_s, config.subscriptions.most_s
    if least_s > most_s:
        raise BadConfiguration(
            f"{config.path}: subscriptions.least_s", f"is above subscriptions.most_s, {most_s}"
        )


def _check_routing(config: Config) -> None:
    order = config.routing.order
    if len(set(order)) < len(order):
        raise BadConfiguration(f"{config.path}: routing.order", "names a clue twice; each may stand once")
    if config.routing.default:
        _require(config, "routing.default", config.routing.default, ARI, '"wml.ua", or "" for none')


def _require(config: Config, key: str, value: str, form: re.Pattern[str], right: str) -> None:
    require(config.path, key, value, form, right)


def _check_next_hop(config: Config) -> None:
    if config.core.next_hop.lower().startswith("sips:"):
        raise BadConfiguration(
            f"{config.path}: core.next_hop",
            'sips: means TLS up to the user; right would be "sip:scscf.home1.example;transport=tls;lr"',
        )
    core, right = config.core, '"sip:127.0.0.1:6060;lr"'
    _require(config, "core.next_hop", core.next_hop, SIP_URI, right)
    for uri in core.next_hops:
        _require(config, "core.next_hops", uri, SIP_URI, right)
    for name, others in core.addresses.items():
        _require(config, "core.addresses", name, HOST_AND_PORT, '"192.0.2.20:6060", or "scscf.home1.example"')
        for uri in others:
            _require(config, f'core.addresses."{name}"', uri, SIP_URI, right)


def _check_tls(config: Config) -> None:
    for name in config.core.trusted_names:
        _require(config, "core.trusted_names", name, HOST_PATTERN, '"scscf.home1.example"')
    listens = any(value.startswith("tls:") for value in config.sip.listen)
    if not listens:
        if ";transport=tls" in config.core.next_hop.lower():
            raise BadConfiguration(
                f"{config.path}: core.next_hop",
                'TLS needs an address in sip.listen, such as "tls:192.0.2.9:5061"',
            )
        return
    if config.tls.crl:
        check_revocation_lists(f"{config.path}: tls.crl", config.tls.crl)
    for key in ("certificate", "private_key", "trusted_certificates"):
        file = getattr(config.tls, key)
        if not file:
            raise BadConfiguration(f"{config.path}: tls.{key}", "is missing; sip.listen has a tls: address")
        check_file(f"{config.path}: tls.{key}", file)
        if set(file) & set('"\r\n'):
            raise BadConfiguration(
                f"{config.path}: tls.{key}", f"cannot be read by Kamailio: {shortened(file)}"
            )


def _check_memory(config: Config) -> None:
    needed_mb = shared_memory.needed_mb(config)
    if needed_mb > config.sip.shared_memory_mb * shared_memory.PART:
        raise BadConfiguration(
            f"{config.path}: sip.shared_memory_mb",
            f"{config.sip.senders} senders x window {shared_memory.window(config)} need about {needed_mb} MB "
            f"in flight, above {shared_memory.PART:.0%} of {config.sip.shared_memory_mb} MB; "
            "make the window smaller or the memory larger",
        )


def _check_redis(config: Config) -> None:
    try:
        place = config.redis.place
    except ValueError as error:
        raise BadConfiguration(f"{config.path}: redis.url", str(error)) from None
    if place.kind != "one" and config.redis.replica_wait_ms >= config.redis.timeout_ms:
        raise BadConfiguration(f"{config.path}: redis.replica_wait_ms", "has to be below redis.timeout_ms")
    for key in ("trusted_certificates", "certificate", "private_key"):
        file = getattr(config.redis, key)
        if file and not place.tls:
            raise BadConfiguration(f"{config.path}: redis.{key}", "is for rediss://, which redis.url is not")
        if file:
            check_file(f"{config.path}: redis.{key}", file)
    if bool(config.redis.certificate) != bool(config.redis.private_key):
        raise BadConfiguration(f"{config.path}: redis.certificate", "goes with redis.private_key")


def _check_content(config: Config) -> None:
    content = config.content
    if content.listen:
        _require(config, "content.listen", content.listen, HTTP_LISTEN, '"127.0.0.1:8443"')
    if content.url:
        right = '"https://content.home1.example/content/"'
        _require(config, "content.url", content.url, HTTP_URL, right)
        if not content.url.endswith("/content/") or len(content.url) > _LONGEST_CONTENT_URL:
            raise BadConfiguration(
                f"{config.path}: content.url",
                f"ends in /content/, with at most {_LONGEST_CONTENT_URL} characters; right would be {right}",
            )
    if bool(content.certificate) != bool(content.private_key):
        raise BadConfiguration(f"{config.path}: content.certificate", "goes with content.private_key")
    if content.certificate and not content.listen:
        raise BadConfiguration(f"{config.path}: content.certificate", "is for content.listen, which is empty")
    for key in ("certificate", "private_key"):
        file = getattr(content, key)
        if file:
            check_file(f"{config.path}: content.{key}", file)


def _check_trace(config: Config) -> None:
    trace = config.trace
    if trace.hep:
        _require(config, "trace.hep", trace.hep, HTTP_LISTEN, '"192.0.2.9:9060"')
    if trace.otlp:
        _require(config, "trace.otlp", trace.otlp, HTTP_URL, '"http://192.0.2.9:4318"')
    if trace.hep_key_file:
        first_line(trace.hep_key_file, f"{config.path}: trace.hep_key_file")


def _check_msrp(config: Config) -> None:
    msrp = config.msrp
    _require(config, "msrp.listen", msrp.listen, HTTP_LISTEN, '"127.0.0.1:2855"')
    if msrp.public_host:
        _require(
            config, "msrp.public_host", msrp.public_host, HOST, '"media.home1.example" or "[2001:db8::1]"'
        )
    if int(msrp.listen.rpartition(":")[2]) + msrp.workers > 65_536:
        raise BadConfiguration(f"{config.path}: msrp.listen", f"leaves no ports for {msrp.workers} workers")
    if not msrp.public_host and msrp.listen.rpartition(":")[0] in ANYWHERE:
        raise BadConfiguration(
            f"{config.path}: msrp.public_host", "is needed: devices cannot connect to every address"
        )
    if msrp.tls and not (msrp.certificate and msrp.private_key):
        raise BadConfiguration(f"{config.path}: msrp.tls", "needs msrp.certificate and msrp.private_key")
    for key in ("certificate", "private_key", "trusted_certificates"):
        file = getattr(msrp, key)
        if file:
            check_file(f"{config.path}: msrp.{key}", file)
