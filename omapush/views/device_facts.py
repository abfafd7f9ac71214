"""What a source says about a device, in words."""

from __future__ import annotations

from omapush.push.capabilities import Facts


def listed(facts: Facts) -> list[tuple[str, str]]:
    """Return what is said in lists, name by name: `none` for an empty one, nothing for what is unsaid."""
    lists = (
        ("takes", facts.types),
        ("refuses", facts.refused or None),
        ("encodings", facts.encodings),
        ("applications", facts.applications),
        ("methods", facts.methods),
    )
    return [(name, ", ".join(values) or "none") for name, values in lists if values is not None]
