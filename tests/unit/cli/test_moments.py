"""Times on the command line are read alike by every command that takes one."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
import typer

from omapush.cli.commands import loaded
from omapush.cli.moments import moment, ms


@pytest.mark.parametrize(
    ("text", "at_ms"),
    [
        ("2026-01-31T09:00", 1_769_850_000_000),
        ("2026-01-31T09:00:00Z", 1_769_850_000_000),
        ("2026-01-31T10:00+01:00", 1_769_850_000_000),
        ("2026-01-31", 1_769_817_600_000),
    ],
)
def test_a_time_without_a_zone_is_utc(text: str, at_ms: int) -> None:
    assert ms(moment(text), 0) == at_ms


def test_a_time_that_is_left_out_is_the_default() -> None:
    assert ms(None, 5) == 5
    assert ms(datetime(1970, 1, 1, tzinfo=UTC), 5) == 0


@pytest.mark.parametrize("text", ["", "yesterday", "2026-13-01", "09:00"])
def test_what_is_no_time_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(typer.BadParameter, match=r"is no time such as 2030-01-31T10:00:00Z"):
        moment(text)


@pytest.mark.parametrize("option", ["--from", "--to"])
def test_the_books_name_the_option_that_is_no_time(option: str) -> None:
    with pytest.raises(typer.BadParameter) as refused:
        loaded("books").make_context("books", [option, "yesterday"])
    assert f"'{option}': 'yesterday' is no time" in refused.value.format_message()
