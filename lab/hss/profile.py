"""The user profile that an HSS hands to the S-CSCF, as XML (TS 29.228 annexes B and E)."""

from __future__ import annotations

from collections.abc import Sequence

from lxml import etree

from lab.hss.subscriber import Criterion, Subscriber

_CONJUNCTIVE = "1"


def user_data(subscriber: Subscriber, criteria: Sequence[Criterion]) -> bytes:
    """Return the User-Data of one subscription: its identities, and the criteria in order of priority."""
    root = etree.Element("IMSSubscription")
    _add(root, "PrivateID", subscriber.impi)
    profile = etree.SubElement(root, "ServiceProfile")
    for impu in subscriber.impus:
        identity = etree.SubElement(profile, "PublicIdentity")
        _add(identity, "BarringIndication", "0")
        _add(identity, "Identity", impu)
    for priority, criterion in enumerate(criteria):
        _add_criterion(profile, priority, criterion)
    return etree.tostring(root, xml_declaration=True, encoding="UTF-8")


def _add_criterion(profile: etree._Element, priority: int, criterion: Criterion) -> None:
    element = etree.SubElement(profile, "InitialFilterCriteria")
    _add(element, "Priority", str(priority))
    trigger = etree.SubElement(element, "TriggerPoint")
    _add(trigger, "ConditionTypeCNF", _CONJUNCTIVE)
    group = 0
    _add(_point(trigger, group), "Method", criterion.method)
    if criterion.session_case is not None:
        group += 1
        _add(_point(trigger, group), "SessionCase", str(criterion.session_case))
    if criterion.event:
        group += 1
        header = etree.SubElement(_point(trigger, group), "SIPHeader")
        _add(header, "Header", "Event")
        _add(header, "Content", criterion.event)
    server = etree.SubElement(element, "ApplicationServer")
    _add(server, "ServerName", criterion.server)
    _add(server, "DefaultHandling", "0")
    if criterion.include_register:
        etree.SubElement(etree.SubElement(server, "Extension"), "IncludeRegisterRequest")


def _point(trigger: etree._Element, group: int) -> etree._Element:
    """A service point trigger that has to hold; each group is one condition of the conjunction."""
    point = etree.SubElement(trigger, "SPT")
    _add(point, "ConditionNegated", "0")
    _add(point, "Group", str(group))
    return point


def _add(parent: etree._Element, name: str, text: str) -> None:
    etree.SubElement(parent, name).text = text
