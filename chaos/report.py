"""The report of a run, as Markdown."""

from __future__ import annotations

from typing import Final

from chaos.faults import NETWORK, STEPPED
from chaos.run import Run

_OPTIONAL: Final = {STEPPED: "a C compiler", NETWORK: "root, ip, tc and nft"}
"Faults that not every machine can have."
_SHOWN: Final = 20
"Entries under one heading."


def written(run: Run) -> str:
    """Return the page: what was done, what came of it, and each thing that should not be so."""
    verdict = run.verdict
    states = ", ".join(f"{number:,} {state}" for state, number in sorted(verdict.states.items()))
    lines = [
        "# Chaos",
        "",
        f"Seed {run.seed}, {run.seconds:g} s, {run.providers} content providers, {len(run.struck)} faults, "
        f"Redis: {run.place}.",
        f"**{'Nothing is missing' if verdict.faultless else 'SOMETHING IS MISSING'}.**",
        "",
        "| | |",
        "|---|---|",
        f"| accepted | {verdict.accepted:,} |",
        f"| final | {states} |",
        f"| answers that were not yet an acceptance | {run.refused:,} |",
        f"| MESSAGEs that a device got once more | {verdict.repeated:,} |",
        f"| notifications that came once more | {verdict.told_again:,} |",
        f"| settled after the last fault in | {run.settled_s:.1f} s |",
        "",
    ]
    for title, entries in (
        ("Accepted, but without a final state", verdict.missing),
        ("Not told to the provider", verdict.untold),
        ("Told otherwise than stored", verdict.told_otherwise),
        ("Books that do not balance", verdict.unbalanced),
    ):
        if entries:
            more = [f"- and {len(entries) - _SHOWN:,} more"] if len(entries) > _SHOWN else []
            lines += [f"## {title}", "", *(f"- {entry}" for entry in entries[:_SHOWN]), *more, ""]
    if absent := sorted(_OPTIONAL.keys() - run.possible):
        lines += [f"Not struck here: {one}, for want of {_OPTIONAL[one]}." for one in absent] + [""]
    lines += ["## Faults", "", "| s | fault |", "|---|---|"]
    lines += [f"| {one.at_s:.1f} | {one.fault} |" for one in run.struck]
    return "\n".join([*lines, ""])
