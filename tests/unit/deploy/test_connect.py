"""Filter criteria in the documents have the shape that an HSS takes, and bring what they say they bring."""

import re
import tomllib
from pathlib import Path

import pytest
from lxml import etree

from omapush.config import parse
from omapush.protocol.sip_uri import SipUri
from tests.harness.markdown import ROOT

SHAPE = etree.RelaxNG(etree.parse(Path(__file__).with_name("service_profile.rng")))
CONNECT = (ROOT / "docs" / "connect.md").read_text()
EXAMPLES = re.findall(r"^```xml\n(<(?:IMS|Initial).*?)^```$", CONNECT, re.M | re.S)


def holds(criteria: etree._Element, method: str, headers: dict[str, str], session_case: int) -> bool:
    """Whether a request fits, as TS 29.228 annex C has it for conjunctive normal form."""
    assert criteria.findtext("TriggerPoint/ConditionTypeCNF") == "1"
    groups: dict[str, bool] = {}
    for point in criteria.iter("SPT"):
        wanted = point.findtext("Method")
        header, content = point.findtext("SIPHeader/Header"), point.findtext("SIPHeader/Content")
        if wanted is not None:
            fits = method == wanted
        elif header is not None:
            fits = re.fullmatch(content or ".*", headers.get(header, "")) is not None
        else:
            fits = point.findtext("SessionCase") == str(session_case)
        negated = point.findtext("ConditionNegated") == "1"
        for group in point.findall("Group"):
            groups[group.text or ""] = groups.get(group.text or "", False) or fits != negated
    return all(groups.values())


def criteria(method: str) -> etree._Element:
    """The criterion of the page that is for a method."""
    all_of_them = [one for text in EXAMPLES for one in etree.fromstring(text).iter("InitialFilterCriteria")]
    return next(one for one in all_of_them if one.findtext("TriggerPoint/SPT/Method") == method)


@pytest.mark.parametrize("text", EXAMPLES, ids=["devices", "hosted"])
def test_an_example_has_the_shape_of_a_user_profile(text: str) -> None:
    SHAPE.assertValid(etree.fromstring(text))


def test_the_shape_refuses_what_an_hss_would() -> None:
    right = EXAMPLES[1]
    for wrong in (
        right.replace("<Priority>30</Priority>", ""),
        right.replace("<Method>MESSAGE</Method>", "<Method>MESSAGE</Method><SessionCase>0</SessionCase>"),
        right.replace("<SessionCase>2<", "<SessionCase>9<"),
        right.replace("ServerName", "Servername"),
    ):
        assert wrong != right
        assert not SHAPE.validate(etree.fromstring(wrong))


@pytest.mark.parametrize(
    ("brings", "method", "headers", "session_case"),
    [
        (True, "SUBSCRIBE", {"Event": "ua-profile;profile-type=oma-app"}, 0),
        (False, "SUBSCRIBE", {"Event": "reg"}, 0),
        (False, "SUBSCRIBE", {"Event": "ua-profile;profile-type=oma-app"}, 1),
        (True, "MESSAGE", {"Accept-Contact": '*;+g.oma.pusheventapp="mms.ua"'}, 1),
        (True, "MESSAGE", {"Accept-Contact": '*;+g.oma.pusheventapp="mms.ua"'}, 2),
        (False, "MESSAGE", {"Accept-Contact": '*;+g.oma.pusheventapp="mms.ua"'}, 0),
        (False, "MESSAGE", {}, 1),
        (True, "REGISTER", {}, 0),
    ],
)
def test_a_criterion_brings_what_it_is_for(
    brings: bool, method: str, headers: dict[str, str], session_case: int
) -> None:
    assert holds(criteria(method), method, headers, session_case) is brings


def test_the_server_name_is_ours_in_the_configuration_of_the_page() -> None:
    tables = re.findall(r"^```toml\n(.*?)^```$", CONNECT, re.M | re.S)
    config = parse(tomllib.loads(tables[0]), "connect.md")

    for name in re.findall(r"<ServerName>(.*)</ServerName>", CONNECT):
        uri = SipUri.parse(name, "ServerName")
        assert uri.host in config.sip.aliases
        assert f"udp:192.0.2.10:{uri.port}" in config.sip.listen
