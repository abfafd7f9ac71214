"""Certificates that are named by their fingerprints: the right one is taken, whoever signed it."""

from __future__ import annotations

import hashlib
import ssl
from pathlib import Path

import pytest

from omapush.certificates import ask_for_any, fingerprint_of, is_expected
from omapush.errors import BadConfiguration
from tests.harness.certificates import certificate

DER = b"not parsed by anybody"


def digest(name: str, data: bytes = DER) -> tuple[str, str]:
    return name, hashlib.new(name.replace("-", ""), data).hexdigest()


@pytest.mark.parametrize("name", ["sha-1", "SHA-224", "sha-256", "sha-384", "Sha-512"])
def test_a_certificate_is_known_by_each_hash(name: str) -> None:
    known = (name, digest(name.lower())[1].upper())

    assert is_expected(DER, [known])
    assert not is_expected(DER + b"!", [known])
    assert not is_expected(None, [known])


def test_one_of_several_certificates_is_enough() -> None:
    assert is_expected(DER, [digest("sha-256", b"another"), digest("sha-256")])


def test_the_strongest_hash_decides_alone() -> None:
    """RFC 8122 5.1: a collision of a weak one is of no use."""
    assert not is_expected(DER, [digest("sha-1"), digest("sha-256", b"another")])
    assert is_expected(DER, [digest("sha-1", b"another"), digest("sha-256"), ("md5", "00" * 16)])


def test_a_hash_that_nobody_knows_proves_nothing() -> None:
    assert not is_expected(DER, [("md5", hashlib.md5(DER, usedforsecurity=False).hexdigest())])


def test_where_none_is_named_tls_has_looked() -> None:
    assert is_expected(None, ())


def test_the_first_certificate_of_a_file_is_the_one_that_is_shown(tmp_path: Path) -> None:
    certificate(tmp_path)
    pem = (tmp_path / "server.pem").read_text()
    der = ssl.PEM_cert_to_DER_cert(pem[pem.index("-----BEGIN CERTIFICATE-----") :])

    found = fingerprint_of(tmp_path / "server.pem", "msrp.certificate")

    assert found == hashlib.sha256(der).hexdigest()


@pytest.mark.parametrize("text", ["", "-----BEGIN CERTIFICATE-----", "-----BEGIN CERTIFICATE-----\n$$$"])
def test_a_file_without_a_certificate_is_told_by_the_name_of_its_key(tmp_path: Path, text: str) -> None:
    (tmp_path / "x.pem").write_text(text)
    for file in (tmp_path / "x.pem", tmp_path / "missing.pem"):
        with pytest.raises(BadConfiguration, match=r"msrp\.certificate"):
            fingerprint_of(file, "msrp.certificate")


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@pytest.mark.parametrize("shows", [True, False])
def test_a_server_takes_any_certificate_or_none_and_sees_it(
    tmp_path: Path, version: ssl.TLSVersion, shows: bool
) -> None:
    for name in ("server", "client"):
        (tmp_path / name).mkdir()
        certificate(tmp_path / name)
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(tmp_path / "server" / "server.pem")
    ask_for_any(server)
    client = ssl.create_default_context(cafile=str(tmp_path / "server" / "server.pem"))
    client.maximum_version = version
    if shows:
        client.load_cert_chain(tmp_path / "client" / "server.pem")

    seen = handshake(server, client)

    expected = [("sha-256", fingerprint_of(tmp_path / "client" / "server.pem", "x"))]
    assert is_expected(seen, expected) is shows
    assert (seen is None) is not shows


def handshake(server: ssl.SSLContext, client: ssl.SSLContext) -> bytes | None:
    """The client's certificate as the server sees it, without a socket."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = [
        client.wrap_bio(to_client, to_server, server_hostname="127.0.0.1"),
        server.wrap_bio(to_server, to_client, server_side=True),
    ]
    for _ in range(10):
        for end in ends:
            try:
                end.do_handshake()
            except ssl.SSLWantReadError:
                continue
    return ends[1].getpeercert(binary_form=True)
