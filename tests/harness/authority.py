"""A CA of its own for tests and `make run TLS=1`, and the certificates that it gives."""

import datetime
import ipaddress
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

_LIFETIME: Final = datetime.timedelta(days=365)
"Far beyond the days for which a certificate that runs out is an alarm."
_SLACK: Final = datetime.timedelta(hours=1)
"Clocks of two machines may differ."


@dataclass(frozen=True, slots=True)
class Issued:
    """A certificate and its key, as PEM files."""

    certificate: Path
    private_key: Path


class TestCa:
    """Lives in memory; only what it issues, and its own certificate, is written into `folder`."""

    __test__ = False

    def __init__(self, folder: Path, name: str = "omapush test CA") -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = _name(name)
        self.certificate = folder / f"{name.replace(' ', '-')}.pem"
        "What peers have to trust."
        self._lists = 0
        only_ca = x509.BasicConstraints(ca=True, path_length=0)
        builder = _begun(self._name, self._name, self._key).add_extension(only_ca, critical=True)
        self.certificate.write_bytes(_pem(builder.sign(self._key, hashes.SHA256())))

    def revoke(self, *certificates: Path, for_s: float = 86_400) -> Path:
        """
        Write a revocation list that has these and no other, in place of the last one; returns the file.

        `for_s`: until it has to be renewed.
        """
        now = datetime.datetime.now(datetime.UTC)
        builder = (
            x509.CertificateRevocationListBuilder()
            .issuer_name(self._name)
            .last_update(now - _SLACK + datetime.timedelta(seconds=self._lists))
            .next_update(now + datetime.timedelta(seconds=for_s))
            .add_extension(x509.CRLNumber(self._lists), critical=False)
        )
        self._lists += 1
        for file in certificates:
            serial = x509.load_pem_x509_certificate(file.read_bytes()).serial_number
            revoked = x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(now - _SLACK)
            builder = builder.add_revoked_certificate(revoked.build())
        made = builder.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
        file = self.certificate.with_suffix(".crl")
        beside = file.with_suffix(".new")
        beside.write_bytes(made)
        os.replace(beside, file)
        return file

    def issue(self, host: str, *, expired: bool = False) -> Issued:
        """
        Give a certificate to a host, by its dNSName; that of localhost names 127.0.0.1, too.

        `expired`: one that was good an hour ago.
        """
        key = ec.generate_private_key(ec.SECP256R1())
        known: list[x509.GeneralName] = [x509.DNSName(host)]
        if host == "localhost":
            known.append(x509.IPAddress(ipaddress.IPv4Address("127.0.0.1")))
        names = x509.SubjectAlternativeName(known)
        age = _LIFETIME + 2 * _SLACK if expired else datetime.timedelta()
        builder = _begun(_name(host), self._name, key, age).add_extension(names, critical=False)
        issued = Issued(self._folder / f"{host}.pem", self._folder / f"{host}.key")
        issued.certificate.write_bytes(_pem(builder.sign(self._key, hashes.SHA256())))
        descriptor = os.open(issued.private_key, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with open(descriptor, "wb") as file:
            file.write(
                key.private_bytes(
                    serialization.Encoding.PEM,
                    serialization.PrivateFormat.PKCS8,
                    serialization.NoEncryption(),
                )
            )
        return issued


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _begun(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePrivateKey,
    age: datetime.timedelta | None = None,
) -> x509.CertificateBuilder:
    begin = datetime.datetime.now(datetime.UTC) - _SLACK - (age or datetime.timedelta())
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(begin)
        .not_valid_after(begin + _LIFETIME)
    )


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)
