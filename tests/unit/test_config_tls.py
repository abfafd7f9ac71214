"""What is wrong about certificate revocation lists in the configuration is said of the key that has them."""

from pathlib import Path

import pytest

from omapush import config
from omapush.errors import BadConfiguration
from tests.harness.authority import TestCa


def loaded(folder: Path, table: str, crl: Path, *, trusts: bool = True) -> config.Config:
    ca = TestCa(folder / "ca")
    ours = ca.issue("localhost")
    lines = [f'certificate = "{ours.certificate}"', f'private_key = "{ours.private_key}"', f'crl = "{crl}"']
    if trusts:
        lines.append(f'trusted_certificates = "{ca.certificate}"')
    file = folder / "omapush.toml"
    sip = '[sip]\nlisten = ["udp:127.0.0.1:5070", "tls:127.0.0.1:5071"]\n' if table == "tls" else ""
    file.write_text("\n".join([sip, f"[{table}]", *lines]))
    return config.load(str(file))


@pytest.mark.parametrize("table", ["api", "tls"])
def test_lists_that_can_be_read_are_taken(tmp_path: Path, table: str) -> None:
    crl = TestCa(tmp_path).revoke()
    if table == "api":
        assert loaded(tmp_path, "api", crl).api.crl == str(crl)
    else:
        assert loaded(tmp_path, "tls", crl).tls.crl == str(crl)


@pytest.mark.parametrize("table", ["api", "tls"])
@pytest.mark.parametrize(
    ("content", "why"), [(None, "cannot be read"), ("x", "has no certificate revocation")]
)
def test_a_file_without_lists_is_refused(tmp_path: Path, table: str, content: str | None, why: str) -> None:
    crl = tmp_path / "lists.pem"
    if content is not None:
        crl.write_text(content)
    with pytest.raises(BadConfiguration, match=rf"{table}\.crl: {why}"):
        loaded(tmp_path, table, crl)


def test_lists_without_cas_are_refused(tmp_path: Path) -> None:
    with pytest.raises(BadConfiguration, match=r"api\.crl: needs api\.trusted_certificates"):
        loaded(tmp_path, "api", TestCa(tmp_path).revoke(), trusts=False)
