"""What a device is told of who may push: all that the rules let through, and little more."""

from __future__ import annotations

import fnmatch
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from omapush.config import parse
from omapush.protocol import push_mo
from omapush.protocol.push_mo import TrustedApplication, TrustedSender
from omapush.push.device_document import Sender, aor_of, token_of, trusted_senders
from omapush.push.policy import Case, Rule, judge, rules_of
from omapush.receiver.device_policy import whitelist_of

KID = "sip:kid@school.example"
MMSC = Sender("mmsc", "sip:mmsc@home1.example", ("*",), ("*",))
NEWS = Sender("news", "sip:news@home1.example", ("news.ua",), ("sip:*@school.example",))
NEVER = {"start": "03:00", "end": "04:00"}


def rules(*tables: dict[str, Any]) -> tuple[Rule, ...]:
    return rules_of(parse({"policy": {f"r{number}": one for number, one in enumerate(tables)}}, "t").policy)


@pytest.mark.req("SEC-13")
def test_without_rules_accounts_alone_say_who_may_push_what() -> None:
    everybody = trusted_senders((), (MMSC, NEWS), KID, ["mms.ua"])
    of_others = trusted_senders((), (MMSC, NEWS), "sip:a@home1.example", ["mms.ua"])

    assert everybody == (
        TrustedSender(MMSC.identity),
        TrustedSender(NEWS.identity, (TrustedApplication("news.ua"),)),
    )
    assert of_others == (TrustedSender(MMSC.identity),)


@pytest.mark.req("SEC-13")
def test_allowed_applications_and_types_before_a_general_denial_are_all_that_is_listed() -> None:
    school = rules(
        {"effect": "allow", "applications": ["news.ua"], "content_types": ["text/*", "image/png"]},
        {"effect": "allow", "applications": ["mms.ua"], "initiators": ["nobody"]},
        {"effect": "deny", "recipients": ["sip:*@school.example"]},
    )

    found = trusted_senders(school, (MMSC,), KID, ["mms.ua", "news.ua"])

    only = TrustedApplication("news.ua", ("image/png", "text/*"))
    assert found == (TrustedSender(MMSC.identity, (only,)),)
    assert trusted_senders(school, (MMSC,), "sip:a@x.example", ["news.ua"]) == (TrustedSender(MMSC.identity),)


def test_a_denial_of_some_hours_takes_nothing_off_the_list_and_one_for_ever_all() -> None:
    some = rules({"effect": "deny", "hours": NEVER})
    always = rules({"effect": "deny", "layer": "operator"}, {"effect": "allow", "layer": "recipient"})

    assert trusted_senders(some, (MMSC,), KID, []) == (TrustedSender(MMSC.identity),)
    assert trusted_senders(always, (MMSC,), KID, []) == ()


def test_initiators_of_one_identity_share_an_entry() -> None:
    one, other = (Sender(name, "sip:psa@x.example", (f"{name}.ua",), ("*",)) for name in ("a", "b"))

    names = (TrustedApplication("a.ua"), TrustedApplication("b.ua"))
    assert trusted_senders((), (one, other), KID, []) == (TrustedSender("sip:psa@x.example", names),)


_patterns = st.lists(st.sampled_from(["*", "mms.ua", "n*.ua", "ulp.ua"]), min_size=1, max_size=2)
_tables = st.fixed_dictionaries(
    {
        "effect": st.sampled_from(["allow", "deny"]),
        "layer": st.sampled_from(["operator", "application", "recipient"]),
        "applications": _patterns,
        "initiators": st.lists(st.sampled_from(["*", "mmsc", "n*"]), min_size=1, max_size=1),
        "recipients": st.lists(st.sampled_from(["*", KID, "sip:*@home1.example"]), min_size=1, max_size=1),
        "content_types": st.lists(
            st.sampled_from(["*", "image/*", "image/png", "im*", "text/p*", "*/plain", "text/[ph]*"]),
            min_size=1, max_size=2,
        ),
    },
    optional={"hours": st.just(NEVER)},
)  # fmt: skip


@given(
    st.lists(_tables, max_size=5),
    _patterns,
    st.sampled_from(["mmsc", "news"]),
    st.sampled_from(["mms.ua", "news.ua", "ulp.ua", "x.ua"]),
    st.sampled_from(["image/png", "image/gif", "text/plain", "text/html", "a/b"]),
    st.booleans(),
)
def test_a_device_that_obeys_never_refuses_what_the_rules_let_through(
    tables: list[dict[str, Any]], account: list[str], name: str, app: str, kind: str, at_night: bool
) -> None:
    sender = Sender(name, "sip:s@x.example", tuple(account), ("*",))
    case = Case(name, app, KID, kind, (3 if at_night else 12) * 3_600_000 + 60_000)
    may = judge(rules(*tables), case).allowed and any(fnmatch.fnmatchcase(app, one) for one in account)

    document = push_mo.write(trusted_senders(rules(*tables), (sender,), KID, ["mms.ua", "news.ua"]))

    if may:
        assert whitelist_of(document).why_not(("sip:s@x.example",), app, kind) == ""


@given(st.text(min_size=1, max_size=60), st.binary(min_size=16, max_size=20))
def test_a_token_names_its_user_and_no_other_key_makes_it(aor: str, key: bytes) -> None:
    token = token_of(aor, key)

    assert aor_of(token, key) == aor
    assert aor_of(token, key + b"x") == ""
    assert aor_of(token[:-1], key) == ""
    assert aor_of(("A" if token[0] != "A" else "B") + token[1:], key) == ""


@given(st.text(max_size=80))
def test_any_text_in_the_place_of_a_token_names_nobody(text: str) -> None:
    assert aor_of(text, b"0123456789abcdef") == ""
