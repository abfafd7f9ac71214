"""`omapush capacity`: nodes, processors, memory and disk for a number of users and pushes."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from omapush.capacity import measured, model
from omapush.capacity.measured import REFERENCE, Measured
from omapush.capacity.model import Demand, Plant, Sizing
from omapush.cli import terminal
from omapush.errors import PushRefused

_DEMAND = Demand(0, 0)
_PLANT = Plant()


def capacity(
    context: typer.Context,
    users: Annotated[int, typer.Option(min=0, help="Registered users, one device each.")],
    pushes_per_day: Annotated[int, typer.Option(min=0, help="Pushes a day, each to one recipient.")],
    busy_hour_share: Annotated[
        float, typer.Option(min=0.01, max=1.0, help="Share of the day's pushes in the busiest hour, 0 to 1.")
    ] = _DEMAND.busy_hour_share,
    peak: Annotated[
        float, typer.Option(min=1.0, help="The busiest second of that hour has this many times the average.")
    ] = _DEMAND.peak,
    content_bytes: Annotated[
        int, typer.Option(min=0, help="Bytes of content of a push.")
    ] = _DEMAND.content_bytes,
    large_share: Annotated[
        float, typer.Option(min=0.0, max=1.0, help="Share of the pushes that need an MSRP session, 0 to 1.")
    ] = _DEMAND.large_share,
    large_bytes: Annotated[
        int, typer.Option(min=0, help="Bytes of content of such a push.")
    ] = _DEMAND.large_bytes,
    waiting_share: Annotated[
        float,
        typer.Option(
            min=0.0, max=1.0, help="Share of a day's pushes that waits at the worst moment, 0 to 1."
        ),
    ] = _DEMAND.waiting_share,
    registers_per_user_day: Annotated[
        float, typer.Option(min=0.0, help="Third-party REGISTERs a day for one user.")
    ] = _DEMAND.registers_per_user_day,
    cores_per_node: Annotated[int, typer.Option(min=1, help="Processors of a node.")] = _PLANT.cores_per_node,
    utilisation: Annotated[
        float,
        typer.Option(min=0.05, max=1.0, help="Largest load of a node's processors at the peak, 0 to 1."),
    ] = _PLANT.utilisation,
    spare_nodes: Annotated[
        int, typer.Option(min=0, help="Number of nodes that may be down at the peak.")
    ] = _PLANT.spare_nodes,
    bench: Annotated[
        Path | None,
        typer.Option(help="bench/latest.json of your own machine, to use instead of our figures."),
    ] = None,
    as_json: terminal.AsJson = False,
) -> None:
    """Calculate the nodes and the Redis that a number of users and pushes needs, and show the assumptions."""
    retention_s = terminal.settings(context).delivery.retention_s
    demand = Demand(
        users,
        pushes_per_day,
        busy_hour_share,
        peak,
        content_bytes,
        large_share,
        large_bytes,
        waiting_share,
        registers_per_user_day,
        retention_s,
    )
    plant = Plant(cores_per_node, utilisation, spare_nodes)
    figures = _read(bench) if bench else REFERENCE
    sizing = model.size(demand, plant, figures)
    if as_json:
        terminal.print_json(_as_json(demand, plant, figures, sizing))
        return
    terminal.console().print(_answer(sizing, plant))
    for line in _assumptions(demand, plant, figures):
        print(line)


def _read(file: Path) -> Measured:
    """The figures of a run of `make bench`, the reference's for what it did not measure."""
    try:
        read = json.loads(file.read_bytes())
        figures = {one["name"]: float(one["value"]) for one in read["figures"]}
        cpus = read["machine"]["cpus"]
        return measured.from_bench(figures, f"{read['machine']['cpu']}, {cpus} processors", int(cpus))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise PushRefused(f"--bench {file}: not a result of make bench ({error!r})") from error


def _answer(sizing: Sizing, plant: Plant) -> Table:
    table = Table(show_header=False)
    redis = "one Redis and its replica" if sizing.redis_masters == 1 else f"{sizing.redis_masters} masters"
    for name, value in (
        ("pushes at the peak", f"{sizing.pushes_per_s:,.0f} a second"),
        ("REGISTERs at the peak", f"{sizing.registers_per_s:,.0f} a second"),
        ("large contents at the peak", f"{sizing.large_mb_per_s:,.1f} MB a second"),
        ("busy processors", f"{sizing.cores:,.1f}"),
        ("nodes", f"{sizing.nodes} with {plant.cores_per_node} processors"),
        ("Redis", redis),
        ("memory of Redis, in all", f"{sizing.memory_gb:,.1f} GB, and as much for each replica"),
        ("of it users", f"{sizing.users_gb:,.2f} GB"),
        ("of it waiting pushes", f"{sizing.waiting_gb:,.2f} GB"),
        ("of it finished pushes", f"{sizing.finished_gb:,.2f} GB"),
        ("disk for its append-only file", f"{sizing.disk_gb:,.1f} GB"),
    ):
        table.add_row(name, value)
    return table


def _assumptions(demand: Demand, plant: Plant, figures: Measured) -> list[str]:
    return [
        "Assumed:",
        f"- the busiest hour has {demand.busy_hour_share:.0%} of a day, its busiest second "
        f"{demand.peak:g} times the mean; REGISTERs alike, {demand.registers_per_user_day:g} a user and day",
        f"- {demand.waiting_share:.1%} of a day's pushes wait at the worst moment; finished ones are known "
        f"for {demand.retention_s:,} s (delivery.retention_s)",
        f"- measured on {figures.machine}: {figures.pushes:,.0f} pushes/s, {figures.registers:,.0f} "
        f"REGISTERs/s, {figures.msrp_mb:,.0f} MB/s of MSRP; load generator and Redis shared the "
        f"{figures.cores} processors",
        f"- a user takes {figures.user_bytes + figures.watch_bytes:,.0f} bytes, a waiting push "
        f"{figures.waiting_bytes:,.0f} and its content {model.COPIES_OF_CONTENT} times, a finished one "
        f"{figures.finished_bytes:,.0f}",
        f"- memory: {model.FRAGMENTS:g} for fragments, {model.REWRITE:g} while the append-only file is "
        "rewritten",
        f"- processors at most {plant.utilisation:.0%} busy with {plant.spare_nodes} of the nodes missing; "
        f"Redis has {model.REDIS_SHARE:.0%} of the work on one processor for each master",
        "Measure your own machines with make bench and give the result with --bench.",
    ]


def _as_json(demand: Demand, plant: Plant, figures: Measured, sizing: Sizing) -> dict[str, Any]:
    return {
        "demand": asdict(demand),
        "plant": asdict(plant),
        "measured": figures._asdict(),
        "sizing": asdict(sizing),
    }
