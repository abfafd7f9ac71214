"""What `make run TLS=1` needs: a CA, certificates for both sides, and the configuration that uses them."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from omapush.cli import launch
from omapush.config import Tls
from tests.harness.authority import Issued, TestCa

SCSCF: Final = "scscf.home1.example"
_PSA: Final = "psa.home1.example"
_OURS: Final = 5071
_API: Final = "localhost"
_CONTENT: Final = 8081
THEIRS: Final = 6061
"Where the stand-in S-CSCF speaks TLS."


def prepare(folder: Path, base: Path) -> Path:
    """
    Return the configuration: `base`, with the api by TLS, and SIP by TLS alone towards a core that has to
    show its certificate.

    Everything in `folder` is made anew, so that no certificate is ever out of date.
    """
    ca = TestCa(folder)
    ours, theirs = _tls(ca.issue(_PSA), ca), _tls(ca.issue(SCSCF), ca)
    scscf_profile(folder).write_text(launch.profile_of(theirs), encoding="utf-8")
    text = base.read_text(encoding="utf-8") if base.exists() else "[sip]\n\n[core]\n\n[api]\n"
    sip = f'["udp:127.0.0.1:5070", "tcp:127.0.0.1:5070", "tls:127.0.0.1:{_OURS}"]'
    core = (
        f'next_hop = "sip:127.0.0.1:{THEIRS};transport=tls;lr"\n'
        f'trusted_names = ["{SCSCF}"]\ntrusted_peers = []\n'
    )
    api = ca.issue(_API)
    by_tls = f'certificate = "{api.certificate.resolve()}"\nprivate_key = "{api.private_key.resolve()}"\n'
    tls = "".join(f'{name} = "{getattr(ours, name)}"\n' for name in Tls.__struct_fields__)
    for table, more in (("sip", f"listen = {sip}\n"), ("core", core), ("api", by_tls)):
        text = text.replace(f"[{table}]\n", f"[{table}]\n{more}", 1)
    file = folder / "omapush.toml"
    if "[content]" not in text:  # the device on this machine does not know our CA
        text += f'\n[content]\nlisten = "127.0.0.1:{_CONTENT}"\n'
    file.write_text(f"{text}\n[tls]\n{tls}", encoding="utf-8")
    return file


def scscf_profile(folder: Path) -> Path:
    """Return the file with the profile of the S-CSCF's tls module."""
    return folder / "scscf-tls.cfg"


def application_server() -> str:
    """Return the URI under which the S-CSCF reaches us."""
    return f"sip:127.0.0.1:{_OURS};transport=tls"


def _tls(issued: Issued, ca: TestCa) -> Tls:
    return Tls(
        certificate=str(issued.certificate.resolve()),
        private_key=str(issued.private_key.resolve()),
        trusted_certificates=str(ca.certificate.resolve()),
    )
