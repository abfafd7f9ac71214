"""Redis servers that let nobody in but by TLS with a certificate, and by name."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.harness.authority import TestCa

MAY = "~* &* +@all -@admin -@dangerous +info +config|get +keys"
"What docs/security.md says the user needs; KEYS is for the tests alone."


@dataclass(frozen=True, slots=True)
class Guard:
    """What servers and clients need for it."""

    tls: list[str | Path]
    "Arguments of each server, data servers and Sentinels alike."
    data: list[str | Path]
    "Further arguments of a data server: who may, and how replicas reach their master."
    operator: dict[str, Any]
    "How the operator's own client gets in."
    files: dict[str, str]
    "What `[redis]` gets besides the URL, whose user is `psa`."

    @property
    def password(self) -> str:
        """The operator's, which replicas and Sentinels use, too."""
        return str(self.operator["password"])

    @property
    def by_tls(self) -> dict[str, Any]:
        """The operator's client, where it needs no name."""
        return {key: value for key, value in self.operator.items() if key != "password"}


def guard(folder: Path) -> Guard:
    """Make certificates, users and passwords below `folder`."""
    authority = TestCa(folder / "ca")
    server, ours = authority.issue("localhost"), authority.issue("psa.home1.example")
    password, root = secrets.token_hex(8), secrets.token_hex(8)
    (folder / "psa.word").write_text(f"{password}\n")
    users = folder / "users.acl"
    users.write_text(f"user default on >{root} ~* &* +@all\nuser psa on >{password} {MAY}\n")
    return Guard(
        tls=[
            "--tls-cert-file", server.certificate, "--tls-key-file", server.private_key,
            "--tls-ca-cert-file", authority.certificate, "--tls-replication", "yes",
        ],
        data=["--masterauth", root, "--aclfile", users],
        operator={
            "password": root,
            "ssl": True,
            "ssl_ca_certs": str(authority.certificate),
            "ssl_certfile": str(ours.certificate),
            "ssl_keyfile": str(ours.private_key),
        },
        files={
            "password_file": str(folder / "psa.word"),
            "trusted_certificates": str(authority.certificate),
            "certificate": str(ours.certificate),
            "private_key": str(ours.private_key),
        },
    )  # fmt: skip
