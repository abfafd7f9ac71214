"""What the bench has SIPp and Kamailio do is there, and nothing that nobody uses."""

import re
from pathlib import Path

import pytest
from lxml import etree

from bench.sipp_rate import SCENARIOS

BENCH = SCENARIOS.parent
SOURCE = "".join(file.read_text() for file in BENCH.glob("*.py"))


@pytest.mark.parametrize("file", sorted(SCENARIOS.glob("*.xml")), ids=lambda file: file.stem)
def test_every_scenario_is_well_formed_and_played(file: Path) -> None:
    assert etree.parse(file).getroot().tag == "scenario"
    assert f'"{file.stem}"' in SOURCE


@pytest.mark.parametrize("file", sorted(BENCH.glob("native_*.cfg")), ids=lambda file: file.stem)
def test_every_native_side_has_the_memory_settings_of_the_product(file: Path) -> None:
    assert f'"{file.stem}"' in SOURCE
    assert re.search(r"^shm_force_alloc=yes$", file.read_text(), re.MULTILINE)
