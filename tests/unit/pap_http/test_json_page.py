"""docs/json.md shows what the types really are."""

from __future__ import annotations

import re
from typing import Any

import msgspec
import pytest

from omapush.config import parse
from omapush.pap_http.app import create
from omapush.pap_http.json_cancel import Cancel, CancelState
from omapush.pap_http.json_push_list import PushPage
from omapush.pap_http.json_registrations import RegistrationState
from omapush.pap_http.json_subscriptions import SubscriptionPage
from omapush.pap_http.json_values import NewPush, PushState
from omapush.pap_http.problems import Problem
from tests.harness import markdown
from tests.harness.markdown import ROOT

PAGE = (ROOT / "docs" / "json.md").read_text()
EXAMPLES = re.findall(r"^```json\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)

KINDS = (
    PushState,
    PushPage,
    Cancel,
    CancelState,
    dict[str, Any],  # a posted result; tests/http/test_webhooks.py has its members
    PushState,
    RegistrationState,
    SubscriptionPage,
    Problem,
)


def names(cell: str) -> list[str]:
    return re.findall(r"`([a-z_0-9]+)`", cell)


def test_every_member_of_a_push_is_described_and_no_other() -> None:
    written = [name for row in markdown.rows(markdown.section(PAGE, "The push")) for name in names(row[0])]

    assert sorted(written) == sorted(NewPush.__struct_fields__)


@pytest.mark.parametrize(
    ("example", "kind"),
    [*zip(EXAMPLES, KINDS, strict=True)],
)
def test_an_example_is_what_the_type_gives(example: str, kind: Any) -> None:
    shown = msgspec.json.decode(example, type=kind)

    assert msgspec.to_builtins(shown) == msgspec.to_builtins(msgspec.json.decode(example))


def test_every_route_is_in_the_first_table_and_no_other() -> None:
    paths = create(parse({}, "test.toml")).openapi_schema.to_schema()["paths"]
    routes = {f"{method.upper()} {path}" for path, methods in paths.items() for method in methods}
    table = markdown.section(PAGE, "JSON: pushing and asking as a content provider").partition("\n## ")[0]
    written = {row[0].strip("`") for row in markdown.rows(table)}

    assert written == routes
