"""PAP requests and answers: the corpus, and the rules that a grammar cannot say."""

from __future__ import annotations

import tomllib
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lxml import etree

from omapush import errors
from omapush.errors import MalformedPap, PeerIsWrong, UnsupportedPapVersion
from omapush.protocol import pap_values as pap
from omapush.protocol.multipart import split
from omapush.protocol.pap_elements import NAMES
from omapush.protocol.pap_reader import Submission, read, read_control

ROOT = Path(__file__).parents[3]
VALID = ROOT / "tests" / "corpora" / "valid" / "pap"
INVALID = ROOT / "tests" / "corpora" / "invalid" / "pap"
GRAMMAR = etree.RelaxNG(etree.parse(ROOT / "schema" / "pap.rng"))
EXPECTED = tomllib.loads((INVALID / "expected.toml").read_text())
XML = "application/xml"
NEWER = "push-newer-minor-version.xml"


def files(folder: Path, *suffixes: str) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.suffix in suffixes)


def http_message(path: Path) -> tuple[str, bytes]:
    """Content type and body of a corpus file."""
    data = path.read_bytes()
    if path.suffix == ".xml":
        return XML, data
    first_line, _, rest = data.partition(b"\n")
    return first_line.decode().removeprefix("Content-Type:").strip(), rest.partition(b"\n")[2]


def read_file(path: Path) -> pap.PapDocument:
    content_type, body = http_message(path)
    return read_control(body, content_type) if path.suffix == ".xml" else read(content_type, body).document


def grammar_accepts(control: bytes) -> bool:
    try:
        root = etree.fromstring(control, etree.XMLParser(resolve_entities=False, no_network=True))
    except etree.XMLSyntaxError:
        return False
    return bool(GRAMMAR.validate(root))


ADDRESS = '<address address-value="a@b"/>'


def push(attributes: str = 'push-id="1"', inside: str = ADDRESS, version: str = "2.1") -> bytes:
    doctype = f'<!DOCTYPE pap PUBLIC "-//WAPFORUM//DTD PAP {version}//EN" "x.dtd">'
    return f"{doctype}<pap><push-message {attributes}>{inside}</push-message></pap>".encode()


def read_push_message(data: bytes) -> pap.PushMessage:
    operation = read_control(data, XML).operation
    assert isinstance(operation, pap.PushMessage)
    return operation


@pytest.mark.parametrize("path", files(VALID, ".xml", ".mime"), ids=lambda path: path.name)
def test_every_valid_document_is_read(path: Path) -> None:
    assert read_file(path).version in pap.OUR_VERSIONS


@pytest.mark.parametrize("path", files(VALID, ".xml", ".mime"), ids=lambda path: path.name)
def test_the_grammar_accepts_every_valid_document_of_the_versions_we_know(path: Path) -> None:
    content_type, body = http_message(path)
    control = body if path.suffix == ".xml" else split(content_type, body)[0].body

    assert grammar_accepts(control) is (path.name != NEWER)


def test_the_valid_documents_hold_every_operation() -> None:
    found = {type(read_file(path).operation) for path in files(VALID, ".xml", ".mime")}

    assert found == set(pap.Operation.__args__)


@pytest.mark.parametrize("path", files(INVALID, ".xml", ".mime"), ids=lambda path: path.name)
def test_every_invalid_document_is_refused_by_the_name_of_what_is_wrong(path: Path) -> None:
    expected = EXPECTED[path.name]

    with pytest.raises(PeerIsWrong) as caught:
        read_file(path)
    assert type(caught.value) is getattr(errors, expected["error"])
    assert str(caught.value).startswith(expected["says"])


@pytest.mark.parametrize("name", [name for name, expected in EXPECTED.items() if expected["rng"]])
def test_the_grammar_refuses_what_a_grammar_can_tell(name: str) -> None:
    assert not grammar_accepts((INVALID / name).read_bytes())


def test_every_expectation_has_its_document() -> None:
    assert {path.name for path in files(INVALID, ".xml", ".mime")} == set(EXPECTED)


def test_grammar_and_reader_know_the_same_names() -> None:
    tree = etree.parse(ROOT / "schema" / "pap.rng")
    names = tree.xpath("//*[local-name()='element' or local-name()='attribute']/@name")

    assert isinstance(names, list)
    assert {str(name) for name in names} == NAMES


def test_a_push_keeps_everything_that_the_initiator_said() -> None:
    assert read_file(VALID / "push-every-attribute.xml") == pap.PapDocument(
        pap.PushMessage(
            push_id="full.1@pi.example",
            addresses=(
                "WAPPUSH=alice%40home1.example/TYPE=USER@ppg.home1.example",
                "WAPPUSH=+358401234567/TYPE=PLMN@ppg.home1.example",
            ),
            replace_push_id="full.0@pi.example",
            replace_method=pap.ReplaceMethod.PENDING_ONLY,
            deliver_before=int(datetime(2030, 1, 1, 10, tzinfo=UTC).timestamp()),
            deliver_after=int(datetime(2029, 12, 31, 9, tzinfo=UTC).timestamp()),
            source_reference="Demo & Söhne",
            notify_url="https://pi.example/notify?a=1&b=2",
            progress_notes=True,
            priority=pap.Priority.HIGH,
            delivery_method=pap.DeliveryMethod.PREFER_CONFIRMED,
            network="IMS",
            network_required=True,
            bearer="SIP",
            bearer_required=False,
        ),
        product_name="demo-pi/1",
        versions=("2.1", "2.0", "1.*"),
        version="2.1",
    )


def test_a_push_without_wishes_has_the_defaults() -> None:
    assert read_push_message(push()) == pap.PushMessage("1", ("a@b",))


def test_the_content_of_a_push_keeps_its_bytes_and_headers() -> None:
    submission = read(*http_message(VALID / "push-binary-content.mime"))

    assert submission.content is not None
    assert submission.content.body == bytes(range(256))
    assert submission.content.header("X-Wap-Application-Id") == "x-oma-application:ulp.ua"
    assert submission.capabilities is None


def test_the_third_part_of_a_push_is_what_the_initiator_assumes_of_the_client() -> None:
    submission = read(*http_message(VALID / "push-with-capabilities.mime"))

    assert submission.capabilities is not None
    assert submission.capabilities.header("Content-Type") == "application/rdf+xml"


def test_any_other_operation_comes_alone() -> None:
    document = read_file(VALID / "cancel-all.xml")

    assert read(*http_message(VALID / "cancel-all.xml")) == Submission(document, None, None)


def test_the_profile_follows_a_capability_answer() -> None:
    submission = read(*http_message(VALID / "ccq-response-with-profile.mime"))

    assert isinstance(submission.document.operation, pap.CcqResponse)
    assert submission.content is None
    assert submission.capabilities is not None


def test_status_results_group_the_addresses_that_stand_alike() -> None:
    answer = read_file(VALID / "status-query-response.xml").operation

    assert isinstance(answer, pap.StatusQueryResponse)
    assert [(group.state, len(group.addresses), group.delivery_method) for group in answer.results] == [
        ("delivered", 1, "confirmed"),
        ("pending", 1, None),
    ]


def test_a_notification_answer_may_leave_the_address_out() -> None:
    answer = read_file(VALID / "result-notification-response-without-address.xml").operation

    assert answer == pap.ResultNotificationResponse("7781@pi.example", "1000")


@pytest.mark.parametrize(
    ("listed", "answered_in"),
    [("2.1,2.0,1.*", "2.1"), ("1.*", "1.0"), ("2.*", "2.2"), ("1.0,2.0", "2.0"), ("2.9,2.1", "2.1")],
)
def test_we_answer_in_the_newest_version_in_common(listed: str, answered_in: str) -> None:
    instruction = f'"x.dtd" [<?wap-pap-ver supported-versions="{listed}"?>]'.encode()

    assert read_control(push().replace(b'"x.dtd"', instruction), XML).version == answered_in


@pytest.mark.parametrize(
    ("version", "answered_in"),
    [("1.0", "1.0"), ("2.0", "2.0"), ("2.1", "2.1"), ("2.2", "2.2"), ("2.7", "2.2")],
)
def test_without_a_list_we_answer_in_the_version_of_the_document(version: str, answered_in: str) -> None:
    assert read_control(push(version=version), XML).version == answered_in


def test_no_version_in_common_says_which_are_ours() -> None:
    with pytest.raises(UnsupportedPapVersion, match=r"PAP 2\.2, 2\.1, 2\.0, 1\.0 are supported") as caught:
        read_file(INVALID / "version-list-without-ours.xml")
    assert caught.value.pap_code == "3002"


def test_attributes_of_a_newer_version_are_passed_over() -> None:
    operation = read_file(VALID / NEWER).operation

    assert isinstance(operation, pap.PushMessage)
    assert operation.priority == "low"


def test_the_rules_for_known_attributes_hold_in_a_newer_version_too() -> None:
    with pytest.raises(MalformedPap, match="push-message@push-id: missing"):
        read_control(push("", version="2.3"), XML)
    assert read_push_message(push('push-id="1" stage="no"', version="2.3")).push_id == "1"


def test_the_number_of_addresses_is_bounded() -> None:
    three = push(inside=ADDRESS * 3)

    assert read_control(three, XML, max_addresses=3)
    with pytest.raises(MalformedPap, match="more than 2 addresses"):
        read_control(three, XML, max_addresses=2)


def test_a_thousand_addresses_are_the_most_by_default() -> None:
    assert len(read_push_message(push(inside=ADDRESS * 1000)).addresses) == 1000
    with pytest.raises(MalformedPap, match="more than 1000 addresses"):
        read_control(push(inside=ADDRESS * 1001), XML)


def test_an_error_shows_the_offending_piece() -> None:
    with pytest.raises(MalformedPap) as caught:
        read_control(push(inside='<address address-value=""/>'), XML)

    assert caught.value.fragment == '<address address-value=""/>'
    assert str(caught.value) == "address@address-value: empty: ''"


@pytest.mark.parametrize(
    "name", ["push-with-capabilities.mime", "push-every-attribute.xml", "status-query-response.xml"]
)
def test_every_prefix_is_read_or_refused(name: str) -> None:
    content_type, body = http_message(VALID / name)
    whole = read_file(VALID / name)

    for end in range(len(body)):
        try:
            document = read(content_type, body[:end]).document
        except PeerIsWrong:
            continue
        assert document == whole


DOCUMENTS = [http_message(path) for path in files(VALID, ".xml", ".mime")]


@given(st.sampled_from(DOCUMENTS), st.data())
def test_a_damaged_document_is_read_or_refused(document: tuple[str, bytes], data: st.DataObject) -> None:
    content_type, body = document
    start = data.draw(st.integers(0, len(body)))
    end = data.draw(st.integers(start, min(len(body), start + 20)))
    damaged = body[:start] + data.draw(st.binary(max_size=12) | st.just(body[start:end] * 2)) + body[end:]
    try:
        submission = read(content_type, damaged)
    except PeerIsWrong:
        return
    assert isinstance(submission, Submission)


@given(st.text(max_size=60), st.binary(max_size=100))
def test_any_request_is_read_or_refused(content_type: str, body: bytes) -> None:
    with pytest.raises(PeerIsWrong):
        read(content_type, body)
