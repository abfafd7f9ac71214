"""Metrics: what the processes declare, and what a scrape of them shows."""

from __future__ import annotations

import re
from typing import Any, NamedTuple, cast

from omapush import config
from omapush.notifier.metrics import NotifierMetrics
from omapush.pap_http.installation_metrics import InstallationMetrics
from omapush.pap_http.metrics import Metrics
from omapush.pap_http.probes import OutboxGate
from omapush.store.client import Store
from tests.harness.markdown import ROOT

SHARED_MEMORY = re.compile(r"omapush_shmem_[a-z_]+")
"Kamailio's own, which it names itself."
_KAMAILIO = re.compile(r'"prom_(counter|gauge|histogram)", "name=([a-z_]+);(?: label=([a-z:]+);)?')
_SAMPLE = re.compile(r"([a-zA-Z_:][\w:]*)(?:\{(.*)\})? (\S+)(?: [0-9]+)?")
_LABEL = re.compile(r'([a-zA-Z_]\w*)="((?:[^"\\]|\\.)*)"')
_HISTOGRAM = ("_bucket", "_sum", "_count")


class Family(NamedTuple):
    """One metric."""

    type: str
    labels: frozenset[str]


class Sample(NamedTuple):
    """One line of a scrape."""

    name: str
    labels: dict[str, str]
    value: float


def declared() -> dict[str, Family]:
    """All metrics of api, notifier and Kamailio, but for its own, as the code declares them."""
    store = cast(Store, None)  # nothing is asked for
    api = Metrics(config.parse({}, "omapush.toml"), store, OutboxGate(store, 1))
    families = _of(api._registry) | _of(NotifierMetrics().registry)
    families["omapush_system_deliveries_total"] = Family("counter", frozenset({"state"}))
    return families | of_kamailio()


def of_kamailio() -> dict[str, Family]:
    """Those of Kamailio: each appears with its first event."""
    found = _KAMAILIO.findall((ROOT / "kamailio.cfg").read_text())
    return {
        f"omapush_{name}": Family(kind, frozenset(filter(None, labels.split(":"))))
        for kind, name, labels in found
    }


def _of(registry: Any) -> dict[str, Family]:
    families = {}
    for one in registry._collector_to_names:
        if not isinstance(one, InstallationMetrics):
            name = f"{one._name}_total" if one._type == "counter" else one._name
            families[name] = Family(one._type, frozenset(one._labelnames))
    return families


def family_of(name: str, families: dict[str, Family]) -> tuple[str, Family] | None:
    """The metric that a sample belongs to, with the labels that the sample may have; None: to none."""
    if name in families and families[name].type != "histogram":
        return name, families[name]
    for ending in _HISTOGRAM:
        whole = name.removesuffix(ending)
        if whole != name and whole in families and families[whole].type == "histogram":
            more = {"le"} if ending == "_bucket" else set()
            return whole, Family("histogram", families[whole].labels | more)
    return None


def samples(text: str) -> list[Sample]:
    """The samples of a scrape; what is not in the text format is an error."""
    found = []
    for line in text.splitlines():
        if not line or line.startswith("#"):
            continue
        match = _SAMPLE.fullmatch(line)
        assert match is not None, line
        name, labels, value = match.groups()
        pairs = dict(_LABEL.findall(labels or ""))
        assert not _LABEL.sub("", labels or "").strip(", "), line
        found.append(Sample(name, pairs, float(value)))
    return found


def types(text: str) -> dict[str, str]:
    """The types that a scrape names, each once."""
    named = re.findall(r"^# TYPE (\S+) (\S+)$", text, re.MULTILINE)
    assert len(named) == len(dict(named)), "a metric is declared twice"
    return dict(named)
