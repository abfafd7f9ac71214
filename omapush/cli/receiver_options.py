"""Texts of options of `omapush receiver` as values."""

from __future__ import annotations

import ipaddress
import os
import ssl
from pathlib import Path

from omapush.errors import BadConfiguration
from omapush.receiver import Credentials, DevicePolicy, FileMemory, Trusted, Whitelist


def host_and_port(text: str, option: str) -> tuple[str, int]:
    """Return both; nothing and 0 for an empty text. Raises BadConfiguration, naming `option`."""
    if not text:
        return "", 0
    host, _, port = text.rpartition(":")
    if not host or not port.isdecimal() or int(port) > 65535:
        raise BadConfiguration(option, f"HOST:PORT is needed, not {text}")
    return host.strip("[]"), int(port)


def codes(text: str) -> list[int]:
    """Return the codes of `--answer`; raises BadConfiguration."""
    codes = [piece.strip() for piece in text.split(",")]
    if any(not code.isdecimal() or not (code == "0" or 200 <= int(code) <= 699) for code in codes):
        raise BadConfiguration("--answer", f"final SIP codes are needed, or 0: {text}")
    return [int(code) for code in codes]


def pair(text: str, option: str) -> tuple[str, str]:
    """Return both sides of APP=URI; raises BadConfiguration, naming `option`."""
    name, found, uri = text.partition("=")
    if not found:
        raise BadConfiguration(option, f"APP=URI is needed, not {text}")
    return name, uri


def trusted(text: str) -> Trusted:
    """Return the entry of the whitelist that SENDER[=APP,APP] is."""
    sender, found, apps = text.rpartition("=")
    if not found:
        return Trusted(text)
    return Trusted(sender, tuple(name for name in apps.split(",") if name))


def whitelist(allowed: list[str], source: str, tls: ssl.SSLContext | None) -> Whitelist | DevicePolicy:
    """Return the rules of `--allow`, or those of the document at `--whitelist`; raises BadConfiguration."""
    if source and allowed:
        raise BadConfiguration("--whitelist", "the document is the whole list: leave out --allow")
    if source:
        return DevicePolicy(source, tls=tls)
    return Whitelist(tuple(trusted(text) for text in allowed))


def network(text: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
    """Return the network of `--trust`; raises BadConfiguration."""
    try:
        return ipaddress.ip_network(text, strict=False)
    except ValueError as error:
        raise BadConfiguration("--trust", str(error)) from None


def credentials(user: str, password: str, k: str, op: str, opc: str, sqn: int) -> Credentials:
    """Return password or secrets of a SIM; raises BadConfiguration."""
    return Credentials(user, password, _octets(k, "--k"), _octets(op, "--op"), _octets(opc, "--opc"), sqn)


def _octets(digits: str, option: str) -> bytes:
    try:
        octets = bytes.fromhex(digits)
    except ValueError:
        octets = b"?"
    if len(octets) not in (0, 16):
        raise BadConfiguration(option, "32 hexadecimal digits are needed")
    return octets


def folder(path: Path | None, option: str) -> Path | None:
    """Return a folder that is there and can be written; None for None. Raises BadConfiguration."""
    if path is None:
        return None
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BadConfiguration(option, f"{path}: {error.strerror}") from None
    if not os.access(path, os.W_OK | os.X_OK):
        raise BadConfiguration(option, f"{path}: cannot be written")
    return path


def memory(path: Path | None) -> FileMemory | None:
    """Return the memory of `--remember`, None without one; raises BadConfiguration."""
    if path is None:
        return None
    try:
        return FileMemory(path)
    except BadConfiguration as error:
        raise BadConfiguration("--remember", error.problem) from None


def write(file: Path, content: bytes, option: str) -> None:
    """Write a file; raises BadConfiguration, naming `option`."""
    try:
        file.write_bytes(content)
    except OSError as error:
        raise BadConfiguration(option, f"{file}: {error.strerror}") from None


def tls(ca_file: Path | None) -> ssl.SSLContext | None:
    """Return a client that trusts `--ca-file`, None without one; raises BadConfiguration."""
    if ca_file is None:
        return None
    try:
        return ssl.create_default_context(cafile=str(ca_file))
    except (OSError, ssl.SSLError) as error:
        raise BadConfiguration("--ca-file", f"{ca_file}: {error}") from None
