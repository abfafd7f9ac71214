"""Files and disks that this node depends on."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

from cryptography import x509

from omapush.config import Config
from omapush.push.alarm_rules import Certificate, Disk


def certificates(config: Config) -> Iterator[Certificate]:
    """Yield the certificates that this node shows, each once."""
    named = [
        config.api.certificate,
        config.content.certificate,
        config.msrp.certificate,
        config.redis.certificate,
    ]
    if any(listen.startswith("tls:") for listen in config.sip.listen):
        named.insert(0, config.tls.certificate)
    for file in dict.fromkeys(filter(None, named)):
        yield Certificate(file, _until_ms(file))


def _until_ms(file: str) -> int:
    """When the first certificate of a PEM file runs out; 0: it cannot be read."""
    try:
        read = x509.load_pem_x509_certificate(Path(file).read_bytes())
    except (OSError, ValueError):
        return 0
    return int(read.not_valid_after_utc.timestamp() * 1000)


def disks(config: Config) -> Iterator[Disk]:
    """Yield the disks that this node writes to, each folder once; one that does not exist yet is left out."""
    redis = urlsplit(config.redis.url)
    folders = [str(Path(redis.path).parent)] if redis.scheme == "unix" else []
    folders += [config.audit.folder, config.records.folder]
    for folder in dict.fromkeys(filter(None, folders)):
        try:
            usage = shutil.disk_usage(folder)
        except OSError:
            continue
        yield Disk(folder, usage.free, usage.total)
