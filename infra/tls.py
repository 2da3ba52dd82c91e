"""A certificate authority for one machine, and the certificate that the local listener shows."""

import datetime
import ipaddress
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from infra.credentials import keep, private_pem, write_private

NAMES = ("localhost",)
ADDRESSES = ("127.0.0.1", "::1")
CA_LIVES = datetime.timedelta(days=3650)
LEAF_LIVES = datetime.timedelta(days=397)  # what browsers accept at most
RENEWED_BEFORE = datetime.timedelta(days=30)
BACKDATED = datetime.timedelta(hours=1)


@dataclass(frozen=True)
class Certificates:
    """Where the files are; clients need `ca`, the listener needs `chain` and `key`."""

    ca: Path
    chain: Path
    key: Path


def ensure(folder: Path) -> Certificates:
    """Have an authority and a certificate for this machine's loopback names; new ones only where needed."""
    ca_key = _key(folder / "ca.key")
    ca_path = folder / "ca.pem"
    ca = _load(ca_path)
    if ca is None or not _lasts(ca) or ca.public_key() != ca_key.public_key():
        ca = _authority(ca_key)
        write_private(ca_path, _pem(ca))
    ca_path.chmod(0o644)
    leaf_key = _key(folder / "localhost.key")
    leaf_path = folder / "localhost.pem"
    leaf = _load(leaf_path)
    if (
        leaf is None
        or not _lasts(leaf)
        or leaf.public_key() != leaf_key.public_key()
        or not _issued(leaf, ca)
    ):
        leaf = _leaf(leaf_key, ca, ca_key)
        write_private(leaf_path, _pem(leaf) + _pem(ca))
    return Certificates(ca=ca_path, chain=leaf_path, key=folder / "localhost.key")


def _key(path: Path) -> ec.EllipticCurvePrivateKey:
    pem = keep(path, private_pem(ec.generate_private_key(ec.SECP256R1())))
    key = serialization.load_pem_private_key(pem, password=None)
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise ValueError(f"{path}: an EC key expected")
    return key


def _load(path: Path) -> x509.Certificate | None:
    try:
        return x509.load_pem_x509_certificate(path.read_bytes())
    except (OSError, ValueError):
        return None


def _pem(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(serialization.Encoding.PEM).decode()


def _now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC)


def _lasts(certificate: x509.Certificate) -> bool:
    return certificate.not_valid_after_utc - RENEWED_BEFORE > _now() >= certificate.not_valid_before_utc


def _issued(leaf: x509.Certificate, ca: x509.Certificate) -> bool:
    try:
        leaf.verify_directly_issued_by(ca)
    except (InvalidSignature, ValueError, TypeError):
        return False
    return True


def _name(common: str) -> x509.Name:
    return x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Foyer, this machine only"),
            x509.NameAttribute(NameOID.COMMON_NAME, common),
        ]
    )


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )


def _authority(key: ec.EllipticCurvePrivateKey) -> x509.Certificate:
    """An authority that is believed for loopback only, whoever gets hold of its key (RFC 5280, 4.2.1.10)."""
    name = _name("Foyer local CA")
    networks = [x509.IPAddress(ipaddress.ip_network(address)) for address in ADDRESSES]
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(_now() - BACKDATED)
        .not_valid_after(_now() + CA_LIVES)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs_certificates=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(
            x509.NameConstraints([*(x509.DNSName(name) for name in NAMES), *networks], None), critical=True
        )
        .sign(key, hashes.SHA256())
    )


def _leaf(
    key: ec.EllipticCurvePrivateKey, ca: x509.Certificate, ca_key: ec.EllipticCurvePrivateKey
) -> x509.Certificate:
    addresses = [x509.IPAddress(ipaddress.ip_address(address)) for address in ADDRESSES]
    return (
        x509.CertificateBuilder()
        .subject_name(_name("localhost"))
        .issuer_name(ca.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(_now() - BACKDATED)
        .not_valid_after(_now() + LEAF_LIVES)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(
            x509.SubjectAlternativeName([*(x509.DNSName(name) for name in NAMES), *addresses]), critical=False
        )
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(ca_key.public_key()), critical=False
        )
        .sign(ca_key, hashes.SHA256())
    )
