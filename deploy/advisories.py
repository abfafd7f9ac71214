"""
Known vulnerabilities of the pinned libraries, from a file of advisories: `make audit` without a network.

The file is a collection of advisories in the OSV format (https://ossf.github.io/osv-schema/), as a zip or
a folder of JSON files; osv.dev publishes all of PyPI's as one zip. An operator carries it to where it is
needed.
"""

from __future__ import annotations

import json
import re
import sys
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

_SOURCE: Final = "https://osv-vulnerabilities.storage.googleapis.com/PyPI/all.zip"
_REMEDY: Final = f"bring {_SOURCE} here and name it: make audit ADVISORIES=all.zip"
_PIN: Final = re.compile(r"^([A-Za-z0-9][A-Za-z0-9._-]*)(?:\[[^\]]*\])?==([^\s;\\]+)", re.MULTILINE)
_ORDERED: Final = ("ECOSYSTEM", "SEMVER")
"Kinds of ranges whose events are versions; those of GIT are commits."


class NoAdvisories(Exception):
    """There is nothing to compare with: the text says what is missing."""


class Finding(NamedTuple):
    """One advisory about one pinned library."""

    name: str
    version: str
    ids: tuple[str, ...]
    "Of the advisory itself first, then what others call it."
    fixed: tuple[str, ...]
    "Versions that have it no more; empty: none is known."
    summary: str

    def __str__(self) -> str:
        remedy = f"fixed in {', '.join(self.fixed)}" if self.fixed else "no version without it is known"
        return f"{self.name} {self.version}: {', '.join(self.ids)}: {self.summary}; {remedy}"


def pinned(requirements: str) -> dict[str, str]:
    """Return name and version of each library that a requirements file pins."""
    return {canonicalize_name(name): version for name, version in _PIN.findall(requirements)}


def advisories(place: Path) -> Iterator[Mapping[str, Any]]:
    """
    Give the advisories of a zip, or of a folder and those in it; withdrawn ones left out.

    Raises:
        NoAdvisories: there is no such file, or none that can be read is in it.
    """
    found = 0
    try:
        for name, text in _texts(place):
            try:
                one = json.loads(text)
            except ValueError as error:
                raise NoAdvisories(f"{place}: {name} is no JSON") from error
            if not isinstance(one, dict) or "id" not in one:
                raise NoAdvisories(f"{place}: {name} is no advisory in the OSV format")
            found += 1
            if "withdrawn" not in one:
                yield one
    except (OSError, zipfile.BadZipFile) as error:
        raise NoAdvisories(f"{place}: neither a zip nor a folder that can be read ({error})") from error
    if not found:
        raise NoAdvisories(f"{place}: has no advisory in it (*.json in the OSV format)")


def _texts(place: Path) -> Iterator[tuple[str, bytes]]:
    if place.is_dir():
        for file in sorted(place.rglob("*.json")):
            yield file.name, file.read_bytes()
        return
    with zipfile.ZipFile(place) as packed:
        for name in packed.namelist():
            if name.endswith(".json"):
                yield name, packed.read(name)


def findings(pins: Mapping[str, str], known: Iterable[Mapping[str, Any]]) -> list[Finding]:
    """Return what is known of the pinned versions, sorted; each vulnerability once, whoever tells it."""
    found: dict[tuple[str, frozenset[str]], Finding] = {}
    for one in known:
        ids = (str(one["id"]), *map(str, one.get("aliases", ())))
        for affected in one.get("affected", ()):
            package = affected.get("package", {})
            name = canonicalize_name(str(package.get("name", "")))
            version = pins.get(name)
            if package.get("ecosystem") != "PyPI" or version is None or not _affects(affected, version):
                continue
            same = next((key for key in found if key[0] == name and key[1] & set(ids)), None)
            if same is None:
                summary = str(one.get("summary") or one.get("details", "")).partition("\n")[0][:200]
                found[name, frozenset(ids)] = Finding(name, version, ids, _fixed(affected), summary)
    return sorted(found.values())


def _affects(affected: Mapping[str, Any], version: str) -> bool:
    if version in affected.get("versions", ()):
        return True
    ours = Version(version)
    ranges = (one for one in affected.get("ranges", ()) if one.get("type") in _ORDERED)
    return any(_is_between(one.get("events", ()), ours) for one in ranges)


def _is_between(events: Iterable[Mapping[str, str]], ours: Version) -> bool:
    """OSV: the events up to a version, in order, say whether it is affected."""
    ordered: list[tuple[Version, int, str]] = []
    for event in events:
        for kind, text in event.items():
            try:
                at = Version("0.dev0" if text == "0" else text)
            except InvalidVersion:
                continue
            ordered.append((at, kind == "last_affected", kind))
    is_affected = False
    for at, _, kind in sorted(ordered):
        if kind == "introduced" and at <= ours:
            is_affected = True
        elif (kind == "fixed" and at <= ours) or (kind == "last_affected" and at < ours):
            is_affected = False
    return is_affected


def _fixed(affected: Mapping[str, Any]) -> tuple[str, ...]:
    events = (
        event
        for one in affected.get("ranges", ())
        if one.get("type") in _ORDERED
        for event in one.get("events", ())
    )
    return tuple(dict.fromkeys(event["fixed"] for event in events if "fixed" in event))


def main(place: str = "", *requirements: str) -> int:
    """
    Print what is known; 0 when that is nothing, 1 when it is something, 2 when it cannot be told.

    Without a place it says where there could be one.
    """
    if not place:
        print(
            f"audit: nothing was compared: there is no index that tells vulnerabilities; {_REMEDY}",
            file=sys.stderr,
        )
        return 2
    pins: dict[str, str] = {}
    for file in requirements:
        pins |= pinned(Path(file).read_text(encoding="utf-8"))
    try:
        known = list(advisories(Path(place)))
    except NoAdvisories as missing:
        print(f"audit: nothing was compared: {missing}; {_REMEDY}", file=sys.stderr)
        return 2
    newest = max((str(one.get("modified", "")) for one in known), default="")[:10]
    found = findings(pins, known)
    for one in found:
        print(f"audit: {one}")
    print(f"audit: {len(found)} known vulnerabilities of {len(pins)} libraries; newest advisory {newest}")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
