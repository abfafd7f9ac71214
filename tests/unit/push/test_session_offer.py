"""What a session offers: the stream made of a delivery, joining, and the description of its m-lines."""

from dataclasses import replace

import pytest

from omapush.protocol.file_transfer import read_file_transfer
from omapush.protocol.msrp_media import read_message_media
from omapush.protocol.sdp import SessionDescription
from omapush.push.session import Place, Session, Stream, call_id_of, file_id_of, id_of_call
from omapush.push.session_offer import GATHER_MS, Whom, begin, described, join, stream_of
from omapush.push.values import Delivery, target, ticket
from tests.harness import records
from tests.store.conftest import Make
from tests.unit.push.sessions import AOR, NOW, SENDER, gathering, inviting

PLACE = Place("worker", "msrp://192.0.2.20:2855")
SHA1 = "0123456789abcdef0123456789abcdef01234567"


def delivery(disposition: str = "", content_type: str = "image/png") -> Delivery:
    headers = (("Content-Disposition", disposition),) if disposition else ()
    made = Make().delivery(AOR, number=7)
    return made._replace(content_type=content_type, content_headers=headers, size=5_000)


def made(disposition: str = "", content_type: str = "image/png", attempt: int = 1) -> Stream:
    one = delivery(disposition, content_type)
    return stream_of(one, ticket(one), attempt, sha1=SHA1, place=PLACE, token="Zk3v9")


@pytest.mark.req("PSA-MSRP-13")
@pytest.mark.parametrize(
    ("header", "disposition", "name"),
    [
        ("", "render", ""),
        ("render", "render", ""),
        ("inline; filename=a.png", "render", "a.png"),
        ('attachment; filename="the \\"menu\\".png"', "attachment", "the _menu_.png"),
        ('ATTACHMENT; size=5;FileName = "../../etc/passwd"', "attachment", "passwd"),
        ("something-new", "attachment", ""),
        ('attachment; filename="', "attachment", ""),
    ],
)
def test_what_the_initiator_says_of_its_disposition_travels(header: str, disposition: str, name: str) -> None:
    stream = made(header)
    assert (stream.disposition, stream.name) == (disposition, name)


def test_how_the_content_is_coded_travels_with_it() -> None:
    headers = (("Content-Encoding", "gzip"), ("Content-Language", "de"), ("X-Wap-Content-URI", "x:y"))
    one = delivery()._replace(content_headers=headers)
    stream = stream_of(one, ticket(one), 1, sha1=SHA1, place=PLACE, token="Zk3v9")
    assert stream.mime == headers[:2]


@pytest.mark.req("PSA-MSRP-1")
def test_an_offer_over_tls_names_the_certificate_of_its_worker() -> None:
    """RFC 4975 14.4, RFC 8122 5; each m-line by itself, and in an answer as well."""
    session = inviting(2)
    digest = "0a" * 32
    secure = session._replace(
        place=Place("worker", "msrps://192.0.2.20:2855", digest),
        streams=tuple(one._replace(path=one.path.replace("msrp:", "msrps:")) for one in session.streams),
    )

    for whole in (described(secure), described(secure, SessionDescription.parse(described(secure)))):
        offer = SessionDescription.parse(whole)
        assert [one.attribute("fingerprint") for one in offer.media] == [
            "sha-256 " + ":".join(["0A"] * 32)
        ] * 2
        assert {one.protocol for one in offer.media} == {"TCP/TLS/MSRP"}
    plain = SessionDescription.parse(described(session))
    assert [one.attribute("fingerprint") for one in plain.media] == [None, None]


def test_a_repeat_has_the_same_file_and_message_and_another_path() -> None:
    one, again = made(), made(attempt=2)._replace(path="msrp://192.0.2.20:2855/other;tcp")
    assert (one.file_id, one.message_id) == (again.file_id, again.message_id)
    assert one.session_id == "Zk3v9"
    assert one.file_id == file_id_of(delivery())
    assert file_id_of(delivery()) != file_id_of(delivery()._replace(recipient=1))


def test_a_new_session_gathers_for_a_moment_and_is_found_by_its_call_id() -> None:
    whom = Whom(AOR, "mms.ua", "*", "", "sip:scscf.example")
    session = begin(whom, made(), sender=SENDER, place=PLACE, token="0123456789abcdef", now_ms=NOW)

    assert (session.state, session.due_ms) == ("gathering", NOW + GATHER_MS)
    assert session.id == target(AOR) + "0123456789abcdef"
    assert id_of_call(session.dialog.call_id) == session.id
    assert session.dialog.route_set == ("sip:scscf.example;lr",)
    assert id_of_call(call_id_of(session.id, "psa")) == session.id
    assert id_of_call("r" + session.id) == id_of_call("i123@psa") == id_of_call("") == ""


def test_without_a_known_s_cscf_the_invite_goes_to_the_next_hop() -> None:
    whom = Whom(AOR, "mms.ua", "", "", "")
    session = begin(whom, made(), sender=SENDER, place=PLACE, token="0" * 16, now_ms=NOW)
    assert session.dialog.route_set == ("sip:core.example;lr",)


@pytest.mark.parametrize(
    ("session", "joins"),
    [
        (gathering(2), True),
        (inviting(), True),
        (inviting()._replace(state="open"), True),
        (inviting()._replace(cancelled=True), False),
        (inviting()._replace(state="closing"), False),
        (inviting()._replace(state="ended"), False),
        (inviting()._replace(streams=()), False),
        (gathering(8), False),
        (gathering()._replace(asserted="sip:other@home1.example"), False),
    ],
)
def test_a_push_joins_as_long_as_the_session_goes_on_and_has_room(session: Session, joins: bool) -> None:
    """And has its sender: by whom the INVITE names, the device judges all that comes."""
    assert (join(session, made(), asserted="", most=8, now_ms=NOW) is not None) == joins


def test_the_description_can_be_read_back() -> None:
    session = inviting(2)
    stream = session.streams[0]._replace(state="closed")
    session = session._replace(streams=(stream, session.streams[1]))

    description = SessionDescription.parse(described(session))

    assert [media.port for media in description.media] == [0, 2855]
    assert (description.origin.session_id, description.origin.version) == (NOW, 1)
    media = description.media[1]
    message, file = read_message_media(media, description), read_file_transfer(media)
    assert (message.setup, message.direction, message.accept_types) == ("actpass", "sendonly", ("*",))
    assert file is not None
    assert (file.selector.size, file.selector.media_type) == (5_000, "image/png")
    assert file.transfer_id == session.streams[1].file_id
    assert replace(file.selector, hashes=()).hashes == ()
    assert file.selector.hashes == (("sha-1", bytes(20)),)


def test_what_is_in_no_offer_has_no_line() -> None:
    session = inviting()
    more = session._replace(streams=(*session.streams, records.stream("late", 9)))
    assert described(more) == described(session)
