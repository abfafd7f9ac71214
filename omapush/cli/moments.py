"""Times on the command line: options that take one."""

from __future__ import annotations

from datetime import UTC, datetime

import typer


def moment(text: str) -> datetime:
    """Read a time as ISO 8601 has it; without a zone it is UTC."""
    try:
        found = datetime.fromisoformat(text)
    except ValueError as error:
        raise typer.BadParameter(f"{text!r} is no time such as 2030-01-31T10:00:00Z") from error
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def ms(at: datetime | None, default_ms: int) -> int:
    """Return a time in ms since 1970."""
    return default_ms if at is None else int(at.timestamp() * 1000)
