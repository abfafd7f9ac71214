"""What a start would be refused for though the configuration is right by itself: files that it names."""

from __future__ import annotations

import os
import ssl
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Final

from omapush.audit.journal import journal_for
from omapush.config import Config
from omapush.errors import BadConfiguration, PushError
from omapush.msrp_agent import tls as media_tls
from omapush.pap_http import tls as api_tls
from omapush.store import client


def refusals(config: Config) -> Iterator[str]:
    """Give a line for each, with file and key; nothing is started, and nothing but files is looked at."""
    for look in _LOOKS:
        try:
            look(config)
        except PushError as error:
            said = str(error)
            yield said if said.startswith(config.path) else f"{config.path}: {said}"


def _redis(config: Config) -> None:
    client.connect(config.redis).db.close()


def _audit(config: Config) -> None:
    journal = journal_for(config.audit.folder, config.audit.key_file)
    if journal is not None and (problem := journal.problem()):
        raise BadConfiguration("audit.folder", problem)


def _records(config: Config) -> None:
    if not config.records.folder:
        return
    place = Path(config.records.folder)
    try:
        while not place.exists():  # what is missing is made
            place = place.parent
        is_fine = place.is_dir() and os.access(place, os.W_OK | os.X_OK)
    except OSError:
        is_fine = False
    if not is_fine:
        raise BadConfiguration("records.folder", f"{place}: cannot be written, or is no folder")


def _device_document(config: Config) -> None:
    config.device_document.key()


def _api(config: Config) -> None:
    if config.api.certificate:
        _usable("api.certificate", lambda: api_tls.context(config.api))


def _content(config: Config) -> None:
    if config.content.certificate:
        _usable("content.certificate", partial(_pair, config.content.certificate, config.content.private_key))


def _media(config: Config) -> None:
    if config.msrp.certificate:
        media_tls.server_context(config.msrp)


def _sip(config: Config) -> None:
    if any(value.startswith("tls:") for value in config.sip.listen):
        _usable("tls.certificate", partial(_pair, config.tls.certificate, config.tls.private_key))


def _pair(certificate: str, private_key: str) -> None:
    ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, private_key)


def _usable(key: str, look: Callable[[], object]) -> None:
    try:
        look()
    except OSError as error:  # ssl.SSLError is one
        raise BadConfiguration(key, f"cannot be used: {error}") from error


_LOOKS: Final = (_redis, _audit, _records, _device_document, _api, _content, _media, _sip)
