"""What pages of the console are made of: charts, rates, templates, colours, who comes in where."""

import asyncio
import re
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jinja2 import UndefinedError

from omapush import config
from omapush.errors import NotKnown
from omapush.pap_http.app import create
from omapush.pap_http.console import deeds, history, log_in, pages
from omapush.pap_http.console.charts import HEIGHT, WIDTH, chart
from omapush.pap_http.console.history import History, Sample
from omapush.pap_http.console.operators import Operators
from omapush.pap_http.console.pages import Pages
from omapush.pap_http.passwords import PasswordChecks, hashed
from omapush.store.outbox import Depth
from omapush.store.pulse import Pulse
from omapush.store.totals import Totals

HERE = Path(pages.__file__).parent
TEMPLATES = sorted((HERE / "templates").glob("*.html"))
CSS = (HERE / "static" / "console.css").read_text()


def sample(at: float, accepted: int = 0, **ended: int) -> Sample:
    return Sample(at, Pulse(Totals(accepted, ended), 0, 0, 0, 0), Depth(7, 0, 0, 0, 0))


# Charts and rates ---------------------------------------------------------------------------------


def points(line: str) -> list[tuple[float, float]]:
    return [(float(x), float(y)) for x, y in (point.split(",") for point in line.split())]


@given(st.lists(st.none() | st.floats(0, 1e9), max_size=40), st.integers(40, 300))
def test_a_chart_stays_in_its_box_and_runs_from_left_to_right(
    values: list[float | None], length: int
) -> None:
    drawn = chart(values, length)
    known = [value for value in values if value is not None]

    assert drawn.top >= max(known, default=0)
    assert sum(len(points(line)) for line in drawn.lines) == len(known)
    for line in drawn.lines:
        found = points(line)
        assert all(-0.1 <= x <= WIDTH + 0.1 and 0 <= y <= HEIGHT for x, y in found)
        assert all(left < right for (left, _), (right, _) in pairwise(found))


def test_a_gap_parts_the_line_and_the_newest_value_is_at_the_right_edge() -> None:
    drawn = chart([1, None, 3, 7], 300)

    assert len(drawn.lines) == len(drawn.areas) == 2
    assert points(drawn.lines[-1])[-1][0] == WIDTH
    assert (drawn.top, drawn.most, drawn.last) == (10, 7, 7)


def test_rates_are_what_counts_grew_by_for_each_second_between_looks() -> None:
    known = History()
    for one in (sample(10, 100), sample(12, 104), None, sample(14, 110), sample(15, 90)):
        known.add(one)

    assert known.rates(history.accepted) == [2.0, None, None, 0.0]  # a Redis that forgot is no negative rate
    assert known.levels(history.waiting) == [7, 7, None, 7, 7]


def test_whatever_is_not_delivered_has_failed() -> None:
    one = sample(1, 9, delivered=4, undeliverable=2, expired=1)

    assert (history.delivered(one), history.failed(one)) == (4, 3)


# Templates ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("file", TEMPLATES, ids=lambda file: str(file.name))
def test_a_template_holds_nothing_that_the_browser_would_not_run(file: Path) -> None:
    """The Content-Security-Policy allows scripts and styles of our own files only."""
    text = file.read_text()

    assert not re.search(r"<script(?![^>]* src=)", text)
    assert not re.search(r"<style|\sstyle=|\son[a-z]+=|javascript:|hx-on", text)
    assert not re.search(r"(?:src|href|action)=\"(?:https?:)?//", text)


@pytest.mark.parametrize("file", TEMPLATES, ids=lambda file: str(file.name))
def test_every_form_that_does_something_carries_the_token_of_the_session(file: Path) -> None:
    for form in re.findall(r'<form[^>]*method="post".*?</form>', file.read_text(), re.DOTALL):
        assert '<input type="hidden" name="csrf" value="{{ csrf }}">' in form


def test_what_is_shown_is_escaped_and_what_is_not_there_is_an_error() -> None:
    made = Pages()
    shown = made.render("problem.html", code=404, problem="<b>", more="")

    assert "&lt;b&gt;" in shown
    with pytest.raises(UndefinedError):
        made.render("problem.html", code=404, more="")


def test_files_have_another_path_in_another_release() -> None:
    shown = Pages().render("problem.html", code=404, problem="", more="")
    paths = re.findall(r"/console/static/([0-9a-f]{12})/([a-z.\-]+)", shown)

    assert {"console.css", "console.js", "htmx.min.js", "htmx-sse.min.js", "icon.svg"} == {
        name for _, name in paths
    }
    assert len({release for release, _ in paths}) == 1


@pytest.mark.parametrize(
    ("value", "shown"), [(0, "0"), (0.34, "0.3"), (7.5, "7.5"), (42.2, "42"), (1250, "1\u2009250")]
)
def test_a_rate_has_as_many_digits_as_help(value: float, shown: str) -> None:
    assert pages._rate(value) == shown


# Colours ------------------------------------------------------------------------------------------


def colours(scheme: str) -> dict[str, str]:
    blocks = re.findall(r":root \{(.*?)\}", CSS, re.DOTALL)
    return dict(re.findall(r"--([a-z-]+): (#[0-9a-f]{6});", blocks[scheme == "dark"]))


def luminance(colour: str) -> float:
    """WCAG 2.2, relative luminance."""
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("ink", ["ink", "soft", "accent", "good", "warn", "bad"])
@pytest.mark.parametrize("ground", ["ground", "panel", "sunk"])
def test_every_text_can_be_read_by_day_and_by_night(scheme: str, ink: str, ground: str) -> None:
    found = colours(scheme)
    darker, lighter = sorted((luminance(found[ink]), luminance(found[ground])))

    assert (lighter + 0.05) / (darker + 0.05) >= 4.5


# Who comes in -------------------------------------------------------------------------------------


def test_without_operators_there_is_no_console() -> None:
    without = create(config.parse({}, "x.toml"))
    having = create(config.parse({"operator": {"olga": {"password": "secret"}}}, "x.toml"))

    assert not any(route.path.startswith("/console") for route in without.routes)
    assert any(route.path == "/console" for route in having.routes)


def test_an_operator_is_known_by_hash_or_by_plain_password_and_nobody_else_is() -> None:
    tables = {"olga": {"password_hash": hashed("hers"), "role": "operate"}, "vera": {"password": "hers too"}}
    operators = Operators(config.parse({"operator": tables}, "x.toml"), PasswordChecks())

    def entered(name: str, password: str) -> str:
        found = asyncio.run(operators.authenticate(name, password, "192.0.2.1"))
        return found.role if found else ""

    assert (entered("olga", "hers"), entered("vera", "hers too")) == ("operate", "view")
    assert [entered(*one) for one in (("olga", "hers too"), ("vera", ""), ("nobody", "hers"))] == ["", "", ""]
    assert operators.named("nobody") is None


@pytest.mark.parametrize("path", ["", "/console", "//x", "https://x/", "/console/\\x", "/console/\n", "/pap"])
def test_a_log_in_leads_to_pages_of_the_console_alone(path: str) -> None:
    assert log_in._next(path) == "/console/"
    assert log_in._next("/console/push?ref=1") == "/console/push?ref=1"


@pytest.mark.parametrize("ref", ["", "z" * 20, "0" * 19, "0" * 21, "0" * 19 + "\n"])
def test_what_is_no_reference_of_a_push_is_not_looked_for(ref: str) -> None:
    """Its first digits say which shard it is in: others are none."""
    with pytest.raises(NotKnown):
        deeds._ref({"ref": ref})
