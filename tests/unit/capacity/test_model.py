"""Sizing: what grows with what, and by hand computed answers."""

import dataclasses
import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from omapush.capacity import measured, model
from omapush.capacity.measured import REFERENCE, Measured
from omapush.capacity.model import Demand, Plant, size
from omapush.cli.main import app

ROUND = Measured("a machine", 2, 1_000, 2_000, 100, 1_000, 500, 2_000, 1_500)
"Figures that can be reckoned with by hand: a processor does 500 pushes, 1,000 REGISTERs, 50 MB a second."


def test_a_service_that_can_be_reckoned_by_hand() -> None:
    demand = Demand(users=1_000_000, pushes_per_day=36_000_000, content_bytes=0, registers_per_user_day=3.6)

    sizing = size(demand, Plant(cores_per_node=4), ROUND)

    assert sizing.pushes_per_s == pytest.approx(2_000)  # a tenth of a day in an hour, twice the mean
    assert sizing.registers_per_s == pytest.approx(200)
    assert sizing.cores == pytest.approx(4 + 0.2)
    assert sizing.nodes == 3 + 1  # 4.2 processors at 50 %, four a node, one spare
    assert sizing.users_gb == pytest.approx(1.5)
    assert sizing.waiting_gb == pytest.approx(0.02 * 36_000_000 * 2_000 / 1e9)
    assert sizing.finished_gb == pytest.approx(36_000_000 * 1_500 / 1e9)
    assert sizing.memory_gb == pytest.approx((1.5 + 1.44 + 54) * 1.25 * 1.5)
    assert sizing.redis_masters == 2  # 0.84 of a processor for commands, at 50 %


def test_nothing_to_do_still_needs_two_nodes() -> None:
    sizing = size(Demand(0, 0), Plant(), REFERENCE)

    assert (sizing.nodes, sizing.redis_masters) == (2, 1)
    assert sizing.cores == sizing.memory_gb == 0


@pytest.mark.parametrize(
    "field", ["users", "pushes_per_day", "content_bytes", "retention_s", "waiting_share"]
)
def test_more_of_anything_never_needs_less(field: str) -> None:
    demand = Demand(1_000_000, 10_000_000)
    more = dataclasses.replace(demand, **{field: getattr(demand, field) * 3})

    small, large = size(demand, Plant(), REFERENCE), size(more, Plant(), REFERENCE)

    assert large.memory_gb > small.memory_gb
    assert large.nodes >= small.nodes


def test_large_contents_wait_once_and_need_the_media_workers() -> None:
    demand = Demand(
        0, 8_640_000, content_bytes=0, large_share=0.5, large_bytes=1_000_000, waiting_share=0.001
    )

    sizing = size(demand, Plant(), ROUND)

    assert sizing.large_mb_per_s == pytest.approx(sizing.pushes_per_s * 0.5)
    assert sizing.waiting_gb == pytest.approx(8_640 * (2_000 + 500_000) / 1e9)


def test_what_another_machine_did_not_measure_is_the_reference() -> None:
    own = measured.from_bench({"pap_to_delivered": 20_000, "message_push": 1}, "ours", 16)

    assert (own.pushes, own.cores, own.machine) == (20_000, 16, "ours")
    assert own.user_bytes == REFERENCE.user_bytes


# The command ------------------------------------------------------------------------------------------------


def test_the_command_says_its_assumptions_and_takes_the_figures_of_another_machine(tmp_path: Path) -> None:
    bench = tmp_path / "latest.json"
    figures = [{"name": "pap_to_delivered", "value": 31_140.0}]
    bench.write_text(json.dumps({"machine": {"cpu": "a large one", "cpus": "2"}, "figures": figures}))
    asked = ["capacity", "--users", "1000000", "--pushes-per-day", "10000000"]

    told = CliRunner().invoke(app, asked)
    faster = CliRunner().invoke(app, [*asked, "--bench", str(bench), "--json"])

    assert told.exit_code == faster.exit_code == 0
    assert "Assumed:" in told.stdout
    assert REFERENCE.machine in told.stdout
    answer = json.loads(faster.stdout)
    assert answer["measured"]["pushes"] == 31_140
    own = size(Demand(1_000_000, 10_000_000), Plant(), REFERENCE)
    assert answer["sizing"]["cores"] < own.cores
    assert answer["sizing"]["memory_gb"] == pytest.approx(own.memory_gb)


@pytest.mark.parametrize(
    "text", ["", "[]", '{"machine": {}}', '{"machine": {"cpu": "a", "cpus": "b"}, "figures": []}']
)
def test_a_file_that_is_no_result_of_a_bench_is_refused_by_name(tmp_path: Path, text: str) -> None:
    bench = tmp_path / "latest.json"
    bench.write_text(text)

    refused = CliRunner().invoke(
        app, ["capacity", "--users", "1", "--pushes-per-day", "1", "--bench", str(bench)]
    )

    assert refused.exit_code != 0
    assert str(bench) in str(refused.exception) + refused.output


def test_constants_that_the_page_names_are_the_models() -> None:
    page = (Path(__file__).parents[3] / "docs" / "capacity.md").read_text()

    for value in (model.FRAGMENTS, model.REWRITE, model.APPEND_ONLY):
        assert f"{value:g}" in page
