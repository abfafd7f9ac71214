"""Metrics, alerts and dashboard: all of them name what is exported, and nothing else."""

import json
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from omapush.push.alarms import CATALOGUE, SEVERITIES
from omapush.store.outbox import Depth
from tests.harness import exposition, markdown, promql
from tests.harness.exposition import SHARED_MEMORY, Family
from tests.harness.markdown import ROOT
from tests.harness.promql import Expression, NotUnderstood, Selector

OPERATE = (ROOT / "docs" / "operate.md").read_text()
DECLARED = exposition.declared()
ALERTS = yaml.safe_load((ROOT / "deploy" / "prometheus" / "alerts.yml").read_text())
DASHBOARD = json.loads((ROOT / "deploy" / "grafana" / "omapush.json").read_text())
OF_PROMETHEUS = frozenset({"instance", "job"})
"Labels that every scraped metric gets."


def alerts() -> list[dict[str, Any]]:
    return [rule for group in ALERTS["groups"] for rule in group["rules"]]


def panels() -> list[dict[str, Any]]:
    return [one for one in DASHBOARD["panels"] if one["type"] != "row"]


def expressions() -> Iterator[str]:
    """Everything that alerts and dashboard ask for."""
    yield from (rule["expr"] for rule in alerts())
    yield from (target["expr"] for panel in panels() for target in panel["targets"])


def labels_of(metric: str) -> frozenset[str]:
    """The labels that a metric may be asked by; an error when there is no such metric."""
    if metric == "up" or SHARED_MEMORY.fullmatch(metric):
        return OF_PROMETHEUS
    found = exposition.family_of(metric, DECLARED)
    assert found is not None, f"{metric} is not exported"
    return found[1].labels | OF_PROMETHEUS


def test_the_table_of_metrics_is_what_is_exported_with_type_and_labels() -> None:
    rows = list(markdown.rows(markdown.section(OPERATE, "Metrics")))
    written = {
        row[0].strip("`"): Family(
            row[1], frozenset(label.strip("` ") for label in row[2].split(",") if label)
        )
        for row in rows
    }

    assert written.pop("omapush_shmem_*") == Family("gauge", frozenset())
    assert 'xhttp_prom_stats", "shmem:"' in (ROOT / "kamailio.cfg").read_text()
    assert written == DECLARED
    assert all(row[3] for row in rows)


@pytest.mark.parametrize("text", sorted(set(expressions())))
def test_alerts_and_dashboard_ask_only_for_metrics_and_labels_that_are_exported(text: str) -> None:
    asked = promql.read(text)
    known: set[str] = set()
    for selector in asked.selectors:
        labels = labels_of(selector.metric)
        known |= labels
        assert {name for name, _ in selector.matchers} <= labels, selector
        for name, value in selector.matchers:
            if (selector.metric, name) == ("omapush_alarm", "name"):
                assert value in CATALOGUE
            if (selector.metric, name) == ("omapush_outbox_deliveries", "where"):
                assert value in Depth._fields
    assert asked.grouping <= known


def test_every_alarm_of_the_catalogue_has_its_alert_with_its_words() -> None:
    of_catalogue = {rule["alert"]: rule for rule in alerts() if "omapush_alarm{" in rule["expr"]}

    assert list(of_catalogue) == list(CATALOGUE)
    for name, kind in CATALOGUE.items():
        rule = of_catalogue[name]
        assert promql.read(rule["expr"]).selectors == (Selector("omapush_alarm", (("name", name),)),)
        assert rule["labels"] == {"severity": kind.severity}
        assert rule["annotations"] == {
            "summary": kind.cause,
            "description": kind.effect,
            "action": kind.action,
        }


def test_every_alert_says_how_bad_it_is_and_what_to_do() -> None:
    assert len({rule["alert"] for rule in alerts()}) == len(alerts())
    for rule in alerts():
        assert rule["labels"]["severity"] in SEVERITIES
        assert all(rule["annotations"][word] for word in ("summary", "description", "action"))


def test_every_panel_of_the_dashboard_says_what_it_shows_and_legends_name_labels_there_are() -> None:
    assert len({one["id"] for one in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])
    for panel in panels():
        assert panel["title"], panel["id"]
        assert panel["description"], panel["title"]
        for target in panel["targets"]:
            asked = promql.read(target["expr"])
            kept = asked.grouping or labels_of(asked.selectors[0].metric)
            words = {part.partition("}}")[0] for part in target["legendFormat"].split("{{")[1:]}
            assert words <= kept, target


def test_panels_of_the_dashboard_do_not_lie_over_each_other() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken, panel["title"]
        taken |= cells


def test_the_scrape_example_asks_where_metrics_are() -> None:
    example = yaml.safe_load((ROOT / "deploy" / "prometheus" / "prometheus.yml").read_text())

    assert example["rule_files"] == ["alerts.yml"]
    (job,) = example["scrape_configs"]
    assert (job["job_name"], job["metrics_path"]) == ("omapush", "/metrics")


# What reads expressions ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a_b", Expression((Selector("a_b", ()),), frozenset())),
        (
            'sum by (x, y) (rate(a{b="c,}",d!="e"}[5m]))',
            Expression((Selector("a", (("b", "c,}"), ("d", "e"))),), frozenset("xy")),
        ),
        ("a > 0 and on (z) b", Expression((Selector("a", ()), Selector("b", ())), frozenset("z"))),
        ("clamp_min(max(a) - time(), 0)", Expression((Selector("a", ()),), frozenset())),
    ],
)
def test_an_expression_tells_its_metrics_and_labels(text: str, expected: Expression) -> None:
    assert promql.read(text) == expected


@pytest.mark.parametrize("text", ["", "1", "sum(a", "a)", 'a{b="c"', "nonsense(a)", "{}", "a ? b", 'a{"b"}'])
def test_what_is_no_expression_is_not_understood(text: str) -> None:
    with pytest.raises(NotUnderstood):
        promql.read(text)


@given(st.text())
def test_whatever_comes_is_understood_or_not(text: str) -> None:
    with suppress(NotUnderstood):
        assert promql.read(text).selectors


def test_a_metric_that_is_not_there_is_noticed() -> None:
    with pytest.raises(AssertionError, match="not exported"):
        labels_of("omapush_pushes_lost_total")
    assert "le" in labels_of("omapush_pap_answer_seconds_bucket")
    assert "le" not in labels_of("omapush_pap_answer_seconds_count")
