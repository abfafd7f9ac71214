"""What `omapush doctor` looks at on this machine: files, certificates, disks, limits, the interpreter."""

from __future__ import annotations

import os
import re
import resource
import ssl
import stat
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final, NamedTuple

from cryptography import x509
from cryptography.x509.oid import ExtensionOID

from omapush.cli.checks import Finding, found_ok, found_wrong, skipped
from omapush.config import Config, keys
from omapush.health import files

_OTHERS_READ: Final = stat.S_IROTH
"A group that may read is the services' own: so the package sets it up."
_OTHERS_WRITE: Final = stat.S_IWGRP | stat.S_IWOTH
_LEAST_FREE: Final = 0.05
_EXPIRES_SOON: Final = timedelta(days=14)
_CRL: Final = re.compile(rb"-----BEGIN X509 CRL-----.*?-----END X509 CRL-----", re.DOTALL)
_OPEN_FILES: Final = 4_096
"Sockets of the api and the media worker, with some room."
_EVERYWHERE: Final = ("0.0.0.0", "::", "[::]")  # noqa: S104 - compared with, not listened on


def secret_files(config: Config) -> Finding:
    """Check that nobody else can read keys and passwords, or change what we believe."""
    named = [file for file in _secret_files(config) if Path(file).exists()]
    modes = {file: Path(file).stat().st_mode for file in named}
    open_ones = [file for file, mode in modes.items() if mode & (_OTHERS_READ | _OTHERS_WRITE)]
    if Path(config.path).exists():
        mode = Path(config.path).stat().st_mode
        if mode & _OTHERS_WRITE or (mode & _OTHERS_READ and _has_secrets(config) and _is_reached(config)):
            open_ones.append(config.path)
    if open_ones:
        effect = "any user of this machine can push as an initiator, or read what is protected"
        return found_wrong(
            "secret files", f"others can read or write: {', '.join(open_ones)}", effect, "chmod 600, or 640"
        )
    return found_ok("secret files", f"{len(named)}, only for their owner and group" if named else "none")


def _secret_files(config: Config) -> Iterator[str]:
    for key, value in keys.values(config).items():
        name = key.rpartition(".")[2]
        if name == "private_key" or name.endswith(("password_file", "key_file")):
            yield from filter(None, [value.real])
        elif name in ("webhook_secret_files", "content_keys"):
            yield from value.real


def _has_secrets(config: Config) -> bool:
    found = keys.values(config).items()
    return any(value.real for key, value in found if keys.is_secret(key.rpartition(".")[2]))


def _is_reached(config: Config) -> bool:
    """Others than this machine reach the api: then this is no laboratory."""
    host = config.api.listen.rpartition(":")[0]
    return not host.startswith("127.") and host not in ("[::1]", "localhost")


def folders(config: Config) -> Finding:
    """Check that we can write where we have to."""
    wanted = [one for one in (config.audit.folder, config.records.folder) if one]
    refused = [one for one in wanted if not os.access(one, os.W_OK | os.X_OK)]
    if refused:
        effect = "the audit record refuses submissions (503), event data records wait"
        action = "make the folder, and give it to the user of our processes"
        return found_wrong("folders", f"cannot be written: {', '.join(refused)}", effect, action)
    return found_ok("folders", f"{len(wanted)} can be written" if wanted else "none besides that of Redis")


def disks(config: Config) -> Finding:
    """Check that there is room where Redis and we write."""
    seen = list(files.disks(config))
    full = [
        f"{one.folder}: {one.free >> 20} of {one.total >> 20} MB"
        for one in seen
        if one.free < one.total * _LEAST_FREE
    ]
    if full:
        effect = "Redis refuses to store: no push is taken"
        return found_wrong("disks", f"nearly full: {', '.join(full)}", effect, "make room, or a larger disk")
    return found_ok("disks", f"{len(seen)} with room")


class _Pair(NamedTuple):
    table: str
    certificate: str
    private_key: str
    host: str
    "The name that peers know it by; empty: any."


def certificates(config: Config) -> Iterator[Finding]:
    """Check each certificate that we show: its time, its name, and its key."""
    pairs = (
        _Pair("tls", config.tls.certificate, config.tls.private_key, _sip_host(config)),
        _Pair("api", config.api.certificate, config.api.private_key, _host(config.api.listen)),
        _Pair("content", config.content.certificate, config.content.private_key, _url_host(config)),
        _Pair("msrp", config.msrp.certificate, config.msrp.private_key, config.msrp.public_host),
        _Pair("redis", config.redis.certificate, config.redis.private_key, ""),
    )
    for pair in pairs:
        if pair.certificate:
            yield _certificate(pair)


def _certificate(pair: _Pair) -> Finding:
    check = f"certificate {pair.table}"
    effect = "peers refuse the handshake: nothing goes by TLS there"
    action = f"a certificate that fits, in {pair.table}.certificate and private_key"
    try:
        read = x509.load_pem_x509_certificate(Path(pair.certificate).read_bytes())
        if pair.private_key:
            ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(pair.certificate, pair.private_key)
    except (OSError, ValueError) as error:
        return found_wrong(check, f"{pair.certificate}: {error}", effect, action)
    left = read.not_valid_after_utc - datetime.now(UTC)
    if left < timedelta():
        return found_wrong(check, f"expired {read.not_valid_after_utc:%Y-%m-%d}", effect, action)
    if read.not_valid_before_utc > datetime.now(UTC):
        cause = f"good from {read.not_valid_before_utc:%Y-%m-%d %H:%M} UTC on: is the clock right?"
        return found_wrong(check, cause, effect, action)
    names = _names(read)
    if pair.host and not any(_fits(pair.host, name) for name in names):
        cause = f"is for {', '.join(names) or 'no name'}, we are {pair.host}"
        return found_wrong(check, cause, effect, action)
    if left < _EXPIRES_SOON:
        return found_wrong(check, f"expires in {left.days} days", f"from then on {effect}", action)
    return found_ok(check, f"for {', '.join(names)} until {read.not_valid_after_utc:%Y-%m-%d}")


def revocation_lists(config: Config) -> Iterator[Finding]:
    """Check that lists of revoked certificates can be read, and will be good for a while."""
    for table, file in (("tls", config.tls.crl), ("api", config.api.crl)):
        if not file:
            continue
        check = f"revoked certificates {table}"
        effect = "no certificate of that CA is taken there"
        action = f"put the newest lists into {file} ({table}.crl)"
        try:
            lists = [x509.load_pem_x509_crl(one) for one in _CRL.findall(Path(file).read_bytes())]
        except (OSError, ValueError) as error:
            yield found_wrong(check, f"{file}: {error}", effect, action)
            continue
        ends = [one.next_update_utc for one in lists if one.next_update_utc is not None]
        number = sum(len(one) for one in lists)
        if not lists:
            yield found_wrong(check, f"{file}: has no list", effect, action)
        elif ends and min(ends) < datetime.now(UTC):
            yield found_wrong(check, f"a list should have been renewed {min(ends):%Y-%m-%d}", effect, action)
        else:
            until = f", good until {min(ends):%Y-%m-%d}" if ends else ""
            yield found_ok(check, f"{number} in {len(lists)} lists{until}")


def _names(read: x509.Certificate) -> list[str]:
    try:
        found = read.extensions.get_extension_for_oid(ExtensionOID.SUBJECT_ALTERNATIVE_NAME).value
    except x509.ExtensionNotFound:
        return []
    assert isinstance(found, x509.SubjectAlternativeName)  # noqa: S101 - by its OID
    addresses = [str(one) for one in found.get_values_for_type(x509.IPAddress)]
    return [*found.get_values_for_type(x509.DNSName), *addresses]


def _fits(host: str, name: str) -> bool:
    if name.startswith("*."):
        return host.partition(".")[2].lower() == name[2:].lower()
    return host.lower() == name.lower()


def _host(listen: str) -> str:
    host = listen.rpartition(":")[0]
    return "" if host in _EVERYWHERE or host[:1].isdigit() else host.strip("[]")


def _sip_host(config: Config) -> str:
    """The names that a core knows us by; an address alone says nothing about the certificate's name."""
    return next((alias for alias in config.sip.aliases if not alias[:1].isdigit()), "")


def _url_host(config: Config) -> str:
    return _host(config.content.url.partition("://")[2].partition("/")[0].partition(":")[0] + ":1")


def open_files() -> Finding:
    """Check how many files and sockets a process of ours may have open."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < _OPEN_FILES:
        effect = "under load connections are refused"
        return found_wrong(
            "open files", f"at most {soft}", effect, "ulimit -n 65536, or LimitNOFILE= of the unit"
        )
    return found_ok("open files", f"at most {'any number' if soft == resource.RLIM_INFINITY else soft}")


def interpreter(of_kamailio: tuple[int, int] | None) -> Finding:
    """Check that our libraries are built for the interpreter that Kamailio embeds; `None`: not known."""
    ours = sys.version_info[:2]
    text = f"Python {ours[0]}.{ours[1]}"
    if of_kamailio is None:
        return skipped("interpreter", f"{text}; which one Kamailio embeds is not known here")
    if ours != of_kamailio:
        cause = f"this is {text}, Kamailio embeds {of_kamailio[0]}.{of_kamailio[1]}"
        effect = "Kamailio cannot load our libraries and does not start"
        return found_wrong(
            "interpreter", cause, effect, "make the environment with /usr/bin/python3 (make deps)"
        )
    return found_ok("interpreter", f"{text}, as in Kamailio")
