"""What `omapush doctor` says of who may come in: passwords that can be read, and where they travel."""

from __future__ import annotations

from omapush.cli import processes
from omapush.cli.checks import Finding
from omapush.config import Config


def passwords(config: Config) -> Finding:
    """Check that passwords of initiators are stored as hashes, unless only this machine can use them."""
    plain = [name for name, one in config.initiator.items() if one.is_plain]
    if not plain:
        return Finding("passwords", "ok", "only hashes of them are stored")
    found = f"can be read in the configuration: {', '.join(plain)}"
    if processes.is_loopback(processes.endpoint(f"tcp:{config.api.listen}")[1]):
        return Finding("passwords", "ok", f"{found}; fit for a lab, and the api is for this machine alone")
    return Finding(
        "passwords",
        "wrong",
        found,
        "who reads the file, or a copy of it, can push",
        "put password_hash there instead (omapush initiator hash)",
    )
