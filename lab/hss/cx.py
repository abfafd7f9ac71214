"""
The HSS's side of Cx (TS 29.228, TS 29.229): answers to the S-CSCF, and what the HSS asks of it.

Diameter itself, connections and codec, is the library's. AVPs that the library knows under numbers of
RFC 4740 only are put in by hand.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any, Final

from diameter.message import Avp, constants
from diameter.message.avp.grouped import DeregistrationReason, VendorSpecificApplicationId
from diameter.message.commands import (
    MultimediaAuthRequest,
    RegistrationTerminationRequest,
    ServerAssignmentRequest,
)
from diameter.node.application import ThreadingApplication

from lab.hss import profile, vectors
from lab.hss.subscriber import Criterion, Subscriber

CX: Final = 16_777_216
_TGPP: Final = constants.VENDOR_TGPP
_SUCCESS: Final = constants.E_RESULT_CODE_DIAMETER_SUCCESS
_USER_UNKNOWN: Final = 5001
"DIAMETER_ERROR_USER_UNKNOWN of TS 29.229 6.2.2.1, an experimental result."
_NO_STATE_MAINTAINED: Final = 1
_AUTS_BYTES: Final = 14
_RAND_BYTES: Final = 16
# Assignments after which the user has no S-CSCF, or none that is registered at it.
_LEAVING: Final = frozenset({4, 5, 8, 9, 10, 11})
_SEQUENCE_STEP: Final = 32
"SEQ grows, IND stays 0 (TS 33.102 C.1.1.1)."


class Cx(ThreadingApplication):  # type: ignore[misc]  # the library has no types
    """Answers Multimedia-Auth and Server-Assignment for a fixed set of subscribers."""

    def __init__(self, subscribers: Sequence[Subscriber], criteria: Sequence[Criterion]) -> None:
        super().__init__(CX, is_auth_application=True)
        self._criteria = tuple(criteria)
        self._by_impu = {impu: one for one in subscribers for impu in one.impus}
        self._sequences = {one.impi: _SEQUENCE_STEP for one in subscribers}
        self._lock = threading.Lock()
        self.assigned: set[str] = set()
        "Public identities that an S-CSCF serves as registered."

    def handle_request(self, message: Any) -> Any:
        """Return the answer; called in a thread of its own for each request."""
        if isinstance(message, MultimediaAuthRequest):
            return self._vector(message)
        if isinstance(message, ServerAssignmentRequest):
            return self._assign(message)
        return self.generate_answer(message, result_code=constants.E_RESULT_CODE_DIAMETER_COMMAND_UNSUPPORTED)

    def deregister(self, impu: str, scscf: str, realm: str, reason: int = 0) -> int:
        """
        Tell the S-CSCF to end a user's registration (Registration-Termination); its Result-Code.

        `reason` is a Reason-Code of TS 29.229 6.3.17; 0 is permanent termination.
        """
        request = RegistrationTerminationRequest()
        request.session_id = self.node.session_generator.next_id()
        request.vendor_specific_application_id = application()
        request.auth_session_state = _NO_STATE_MAINTAINED
        request.origin_host = self.node.origin_host.encode()
        request.origin_realm = self.node.realm_name.encode()
        request.destination_host, request.destination_realm = scscf.encode(), realm.encode()
        request.user_name = self._by_impu[impu].impi
        request.public_identity = [impu]
        request.deregistration_reason = DeregistrationReason(
            reason_code=reason, reason_info="by the operator"
        )
        answer = self.send_request(request, timeout=10)
        self.assigned.discard(impu)
        return int(answer.result_code)

    # Answers ---------------------------------------------------------------------------------------

    def _vector(self, request: Any) -> Any:
        impu = _public_identity(request)
        subscriber = self._by_impu.get(impu)
        if subscriber is None:
            return self._unknown(request)
        if subscriber.sim is None:
            item = vectors.digest(subscriber, realm=subscriber.impus[0].partition("@")[2])
        else:
            item = vectors.aka(subscriber.sim, self._next_sequence(subscriber, request))
        answer = self._answer(request)
        for one in (
            Avp.new(constants.AVP_USER_NAME, value=subscriber.impi),
            Avp.new(constants.AVP_TGPP_PUBLIC_IDENTITY, _TGPP, value=impu),
            Avp.new(constants.AVP_TGPP_3GPP_SIP_NUMBER_AUTH_ITEMS, _TGPP, value=1),
            Avp.new(
                constants.AVP_TGPP_3GPP_SIP_AUTH_DATA_ITEM,
                _TGPP,
                value=[Avp.new(vectors.ITEM_NUMBER, _TGPP, value=1), *item],
            ),
        ):
            answer.append_avp(one)
        return answer

    def _assign(self, request: Any) -> Any:
        impu = _public_identity(request)
        subscriber = self._by_impu.get(impu)
        if subscriber is None:
            return self._unknown(request)
        kind = int(request.server_assignment_type)
        with self._lock:
            if kind in _LEAVING:
                self.assigned.difference_update(subscriber.impus)
            elif kind != constants.E_SERVER_ASSIGNMENT_TYPE_UNREGISTERED_USER:
                self.assigned.update(subscriber.impus)
        answer = self._answer(request)
        answer.append_avp(Avp.new(constants.AVP_USER_NAME, value=subscriber.impi))
        if kind not in _LEAVING:
            answer.user_data = profile.user_data(subscriber, self._criteria)
        return answer

    def _next_sequence(self, subscriber: Subscriber, request: Any) -> int:
        """The next SQN; what a SIM says of its own after a failed synchronisation is believed."""
        asked = request.find_avps(
            (constants.AVP_TGPP_3GPP_SIP_AUTH_DATA_ITEM, _TGPP), (vectors.AUTHORIZATION, _TGPP)
        )
        with self._lock:
            current = self._sequences[subscriber.impi]
            if asked and subscriber.sim and len(asked[0].value) == _RAND_BYTES + _AUTS_BYTES:
                rand, auts = asked[0].value[:_RAND_BYTES], asked[0].value[_RAND_BYTES:]
                hidden = subscriber.sim.vector(rand, bytes(6), bytes(2)).ak_resync
                current = int.from_bytes(auts[:6], "big") ^ int.from_bytes(hidden, "big")
            self._sequences[subscriber.impi] = current + _SEQUENCE_STEP
            return current + _SEQUENCE_STEP

    def _answer(self, request: Any) -> Any:
        answer = self.generate_answer(request, result_code=_SUCCESS)
        answer.vendor_specific_application_id = application()
        answer.auth_session_state = _NO_STATE_MAINTAINED
        return answer

    def _unknown(self, request: Any) -> Any:
        answer = self._answer(request)
        answer.result_code = None
        answer.append_avp(
            Avp.new(
                constants.AVP_EXPERIMENTAL_RESULT,
                value=[
                    Avp.new(constants.AVP_VENDOR_ID, value=_TGPP),
                    Avp.new(constants.AVP_EXPERIMENTAL_RESULT_CODE, value=_USER_UNKNOWN),
                ],
            )
        )
        return answer


def application() -> Any:
    """Return the Vendor-Specific-Application-Id of Cx (TS 29.229 5.6)."""
    return VendorSpecificApplicationId(vendor_id=_TGPP, auth_application_id=CX)


def _public_identity(request: Any) -> str:
    found = request.find_avps((constants.AVP_TGPP_PUBLIC_IDENTITY, _TGPP))
    return str(found[0].value) if found else ""
