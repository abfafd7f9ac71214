"""What fuzzing found, tried again without it; and that every parser is fuzzed."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from fuzz.corpus import KEPT, lay_out, seeds
from fuzz.targets import TARGETS, Target
from omapush.errors import MalformedSip

PROTOCOL = Path(__file__).resolve().parents[2] / "omapush" / "protocol"
READS_NO_STRANGER = {
    "pap_values",  # values only
    "pap_writer",
    "pap_elements",  # by way of pap_reader, as the next two
    "pap_tree",
    "pap_xml",
    "reginfo_xml",  # by way of reginfo, pidf and uaprof
    "octet_ranges",
    "searching",  # by way of msrp_reader
    "disposition",  # a writer
    "msrp_sending",  # is told what msrp_reader has read
    "feature_tags",  # reads what name_addr has read
    "sip_servers",  # reads what dnspython has read
    "ip_text",  # one question to ipaddress
}


def tried(target: Target, data: bytes) -> Exception | None:
    """What an input leads to when it is neither read nor refused as it may be."""
    try:
        target.read(data)
    except target.refusals:
        return None
    except Exception as error:  # noqa: BLE001 - a finding, whatever it is
        return error
    return None


@pytest.mark.parametrize("name", TARGETS)
def test_every_input_that_was_kept_is_read_or_refused_with_its_typed_error(name: str) -> None:
    inputs = seeds(name)

    assert inputs
    assert [(data, found) for data in inputs if (found := tried(TARGETS[name], data))] == []


@pytest.mark.parametrize("name", TARGETS)
def test_at_least_one_seed_is_read_to_its_end(name: str) -> None:
    def is_read(data: bytes) -> bool:
        try:
            TARGETS[name].read(data)
        except TARGETS[name].refusals:
            return False
        return True

    assert any(is_read(data) for data in seeds(name))


def test_another_error_than_the_typed_one_is_a_finding() -> None:
    def breaks(_: bytes) -> object:
        raise IndexError

    assert isinstance(tried(Target(breaks, (MalformedSip,)), b""), IndexError)


def test_seeds_are_laid_out_one_file_each(tmp_path: Path) -> None:
    lay_out("sdp", tmp_path)

    assert sorted(file.read_bytes() for file in tmp_path.iterdir()) == sorted(set(seeds("sdp")))


def test_each_folder_of_kept_inputs_belongs_to_a_target() -> None:
    assert {folder.name for folder in KEPT.iterdir() if folder.is_dir()} <= set(TARGETS)


def test_every_module_that_reads_what_strangers_write_is_fuzzed() -> None:
    source = ast.parse((PROTOCOL.parents[1] / "fuzz" / "targets.py").read_text())
    fuzzed = set(imported(source))

    assert {file.stem for file in PROTOCOL.glob("*.py")} - fuzzed == READS_NO_STRANGER | {"__init__"}


def imported(source: ast.Module) -> Iterator[str]:
    """Names of the protocol modules that the targets import."""
    for node in ast.walk(source):
        if isinstance(node, ast.ImportFrom) and node.module == "omapush.protocol":
            yield from (one.name for one in node.names)
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("omapush.protocol."):
            yield str(node.module).rpartition(".")[2]
