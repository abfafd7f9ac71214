"""What doctor finds on this machine: one test makes each mistake and sees it found."""

import resource
from pathlib import Path

import pytest

from omapush import config
from omapush.cli import file_checks
from omapush.cli.checks import Finding
from omapush.config import Audit, Config, Msrp, Records, Tls
from omapush.health import files
from omapush.push.alarm_rules import Disk
from tests.harness.authority import Issued, TestCa


def assert_found(finding: Finding, words: str) -> None:
    """Wrong, with the words in its cause, and with effect and action."""
    assert (finding.state, words in finding.cause) == ("wrong", True), finding
    assert finding.effect
    assert finding.action


def with_secret_file(folder: Path, mode: int) -> Config:
    secret = folder / "password"
    secret.write_text("a long password\n")
    secret.chmod(mode)
    return config.parse({"initiator": {"mmsc": {"password_file": str(secret)}}}, "none.toml")


@pytest.mark.parametrize("mode", [0o644, 0o604, 0o622, 0o660])
def test_a_password_file_that_others_can_read_is_found(tmp_path: Path, mode: int) -> None:
    assert_found(file_checks.secret_files(with_secret_file(tmp_path, mode)), "password")


@pytest.mark.parametrize("mode", [0o600, 0o640])
def test_a_password_file_of_ours_or_of_root_and_our_group_is_ok(tmp_path: Path, mode: int) -> None:
    assert file_checks.secret_files(with_secret_file(tmp_path, mode)).state == "ok"


def test_a_configuration_that_others_can_change_is_found(tmp_path: Path) -> None:
    file = tmp_path / "omapush.toml"
    file.touch()
    file.chmod(0o666)
    assert_found(file_checks.secret_files(config.load(str(file))), "omapush.toml")


def test_a_configuration_with_passwords_that_others_can_read_is_found_outside_a_laboratory(
    tmp_path: Path,
) -> None:
    file = tmp_path / "omapush.toml"
    for listen, state in (("127.0.0.1:8080", "ok"), ("192.0.2.1:8080", "wrong")):
        file.write_text(f'[api]\nlisten = "{listen}"\n[initiator.demo]\npassword = "demo"\n')
        file.chmod(0o644)
        assert file_checks.secret_files(config.load(str(file))).state == state


def test_a_folder_that_is_not_there_is_found(tmp_path: Path) -> None:
    there = Config(path="", audit=Audit(folder=str(tmp_path)), records=Records(folder=str(tmp_path)))
    assert file_checks.folders(there).state == "ok"
    missing = Config(path="", audit=Audit(folder=str(tmp_path / "none")))
    assert_found(file_checks.folders(missing), "none")


def test_a_full_disk_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "disks", lambda _: [Disk("/var/lib/redis", 1 << 20, 1 << 30)])
    assert_found(file_checks.disks(Config(path="")), "/var/lib/redis: 1 of 1024 MB")
    monkeypatch.setattr(files, "disks", lambda _: [Disk("/var/lib/redis", 1 << 29, 1 << 30)])
    assert file_checks.disks(Config(path="")).state == "ok"


def tls(issued: Issued, key: Path | None = None, alias: str = "psa.home1.example") -> Config:
    files_of = Tls(certificate=str(issued.certificate), private_key=str(key or issued.private_key))
    return Config(path="", tls=files_of, sip=config.Sip(aliases=(alias,)))


def test_a_certificate_that_fits_is_ok(tmp_path: Path) -> None:
    issued = TestCa(tmp_path).issue("psa.home1.example")
    assert [one.state for one in file_checks.certificates(tls(issued))] == ["ok"]


def test_an_expired_certificate_is_found(tmp_path: Path) -> None:
    issued = TestCa(tmp_path).issue("psa.home1.example", expired=True)
    assert_found(next(file_checks.certificates(tls(issued))), "expired")


def test_a_certificate_for_another_name_is_found(tmp_path: Path) -> None:
    issued = TestCa(tmp_path).issue("other.example")
    assert_found(
        next(file_checks.certificates(tls(issued))), "is for other.example, we are psa.home1.example"
    )


def test_a_certificate_with_another_key_is_found(tmp_path: Path) -> None:
    authority = TestCa(tmp_path)
    issued, other = authority.issue("psa.home1.example"), authority.issue("other.example")
    assert [one.state for one in file_checks.certificates(tls(issued, other.private_key))] == ["wrong"]


def test_a_certificate_that_is_not_there_is_found(tmp_path: Path) -> None:
    settings = Msrp(certificate=str(tmp_path / "none.pem"), private_key=str(tmp_path / "none.key"))
    assert_found(next(file_checks.certificates(Config(path="", msrp=settings))), "none.pem")


def with_lists(file: Path) -> Config:
    return Config(path="", tls=Tls(crl=str(file)))


def test_revocation_lists_that_are_good_are_ok(tmp_path: Path) -> None:
    ca = TestCa(tmp_path)
    [found] = file_checks.revocation_lists(with_lists(ca.revoke(ca.issue("a.example").certificate)))
    assert (found.state, found.cause.partition(",")[0]) == ("ok", "1 in 1 lists")
    assert list(file_checks.revocation_lists(Config(path=""))) == []


def test_a_revocation_list_that_should_have_been_renewed_is_found(tmp_path: Path) -> None:
    file = TestCa(tmp_path).revoke(for_s=-60)
    assert_found(next(file_checks.revocation_lists(with_lists(file))), "should have been renewed")


@pytest.mark.parametrize("content", ["", "-----BEGIN X509 CRL-----\nAAAA\n-----END X509 CRL-----\n"])
def test_a_file_without_a_revocation_list_is_found(tmp_path: Path, content: str) -> None:
    (tmp_path / "crl.pem").write_text(content)
    assert_found(next(file_checks.revocation_lists(with_lists(tmp_path / "crl.pem"))), "crl.pem")


def test_too_few_open_files_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (1024, 1024))
    assert_found(file_checks.open_files(), "1024")
    monkeypatch.setattr(resource, "getrlimit", lambda _: (65_536, 65_536))
    assert file_checks.open_files().state == "ok"


def test_a_python_of_another_build_is_found() -> None:
    assert_found(file_checks.interpreter((3, 7)), "Kamailio embeds 3.7")
    assert file_checks.interpreter(None).state == "skipped"
