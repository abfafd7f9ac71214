"""Client capabilities for push initiators: queries (ccq), and pushes that come with what they assume."""

from __future__ import annotations

import dataclasses
import secrets
from collections.abc import Sequence

from omapush import clock
from omapush.errors import MalformedAddress, PushError
from omapush.protocol import pap_values as pap
from omapush.protocol import uaprof
from omapush.protocol.feature_tags import ari_of_application_id
from omapush.protocol.multipart import Part, join
from omapush.protocol.pap_writer import write
from omapush.protocol.sip_uri import address_of_record
from omapush.protocol.wappush_address import recipient as sip_target
from omapush.push import capabilities as rules
from omapush.push.acceptance import Accepted, NotTaken
from omapush.push.account import Account
from omapush.push.capabilities import Content, Facts, Refusal
from omapush.push.capability_sources import application_name, compare, facts_of_registration
from omapush.push.registration import Registration
from omapush.push.values import PENDING, Result
from omapush.store import capabilities, profiles, registrations
from omapush.store.client import Store


class CapabilityService:
    """Answers from what is stored; its methods wait for Redis, so they run in threads."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def query(self, account: Account, ccq: pap.CcqMessage) -> tuple[pap.CcqResponse, bytes | None]:
        """Return the answer to a ccq, and the RDF profile when there is one."""
        address = ccq.addresses[0]

        def refused(code: str, desc: str) -> tuple[pap.CcqResponse, None]:
            return pap.CcqResponse(ccq.query_id, code, desc, address), None

        if not account.may("users"):
            return refused("2001", "the operator has not allowed questions about users to this initiator")
        if len(ccq.addresses) > 1:
            return refused("3005", "one address for each query")
        try:
            aor = address_of_record(sip_target(address), field="address@address-value")
            application = ari_of_application_id(ccq.app_id) if ccq.app_id else ""
        except PushError as error:
            return refused(MalformedAddress.pap_code, str(error))
        if not account.may_reach(aor):
            return refused("2001", "initiator may not ask about this address")
        record, facts = self._known(registrations.sip_identity(self._store, aor))
        if record is None and not facts:
            return refused("2003", "nothing was ever heard of this user")
        document = self._document(record, facts, application)
        if document is None:
            return refused("3008", "no capabilities of this user's devices are known")
        return pap.CcqResponse(ccq.query_id, "1000", "as known now", address), document

    def compared(self, accepted: Accepted, part: Part) -> Accepted:
        """
        Return the submission with a final result for each recipient whose device the push does not fit.

        Raises:
            NotTaken: the capabilities cannot be read (2000), or the push fits no recipient (2005, 2006).
        """
        try:
            assumed = uaprof.read(part.body)
        except PushError as error:
            raise NotTaken("2000", "capabilities part", str(error)) from error
        now_ms = clock.now_ms()
        content = _content_of(accepted)
        refusals: list[Refusal | None] = []
        users = registrations.sip_identities(self._store, [one.aor for one in accepted.recipients])
        for user, result in zip(users, accepted.results, strict=True):
            if result.state != PENDING:
                refusals.append(None)
                continue
            _, facts = self._known(user)
            refusals.append(compare(assumed, content, facts, now_ms))
        results = tuple(
            result if refusal is None else _undeliverable(refusal, now_ms)
            for result, refusal in zip(accepted.results, refusals, strict=True)
        )
        last = next((refusal for refusal in refusals if refusal is not None), None)
        if last is not None and all(result.state != PENDING for result in results):
            raise NotTaken(last.code, "capabilities part", last.why)
        return dataclasses.replace(accepted, results=results)

    def _known(self, aor: str) -> tuple[Registration | None, tuple[Facts, ...]]:
        now_ms = clock.now_ms()
        record = registrations.read(self._store, aor)
        stored = capabilities.read(self._store, aor)
        known = profiles.characteristics(self._store, [stored])
        return record, (*rules.resolved(stored, known, now_ms), *facts_of_registration(record, now_ms))

    def _document(
        self, record: Registration | None, facts: Sequence[Facts], application: str
    ) -> bytes | None:
        """The device's own document, the newest of several; else one written from what is known otherwise."""
        about = [one for one in facts if _has(application, one.device, facts)]
        for one in sorted(about, key=lambda each: -each.at_ms):
            profile = profiles.read(self._store, one.profile_url) if one.profile_url else None
            if profile is not None and profile.document:
                return profile.document
        told = [one for one in about if one.source != "register"]
        return uaprof.write(rules.summary(about)) if told else None


def _has(application: str, device: str, facts: Sequence[Facts]) -> bool:
    """Whether a device may have an application: those that say nothing about it may."""
    names = [one.applications for one in facts if one.device == device and one.applications is not None]
    there = {application_name(name) for some in names for name in some}
    return not application or not names or bool(there & {application, "*"})


def _content_of(accepted: Accepted) -> Content:
    push = accepted.push
    return Content(push.content_type.partition(";")[0].strip().lower(), push.size, push.application)


def _undeliverable(refusal: Refusal, now_ms: int) -> Result:
    return Result("undeliverable", refusal.code, refusal.why, "", 0, 0, now_ms)


def with_profile(response: pap.CcqResponse, document: bytes, version: str) -> tuple[bytes, str]:
    """Return (body, Content-Type) of a ccq-response that the RDF profile comes with."""
    boundary = f"omapush-{secrets.token_hex(12)}"
    control = Part((("Content-Type", "application/xml; charset=UTF-8"),), write(response, version=version))
    profile = Part((("Content-Type", uaprof.UAPROF_TYPE),), document)
    kind = f'multipart/related; boundary="{boundary}"; type="application/xml"'
    return join((control, profile), boundary), kind
