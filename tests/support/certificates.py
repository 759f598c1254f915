"""A chain of certificates as an operator would have it, made anew for each test."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID


@dataclass(frozen=True)
class Chain:
    """All in PEM, but for `leaf`, which is DER; `chain` is the signer's certificate and its authority's."""

    chain: bytes
    key: bytes
    authority: bytes
    leaf: bytes

    def write(self, folder: Path) -> dict[str, str]:
        """Two files, and the settings that name them."""
        certificate, key = folder / "chain.pem", folder / "key.pem"
        certificate.write_bytes(self.chain)
        key.write_bytes(self.key)
        return {"PIRENDERER_C2PA_CERTIFICATE": str(certificate), "PIRENDERER_C2PA_KEY": str(key)}


def make_chain(days: int = 30, *, server: str | None = None) -> Chain:
    """A certificate for signing, or of the name of a server or client, on P-256, valid for `days` from yesterday, and
    the authority that issued it."""
    authority_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    authority = (
        _certificate("Test authority", authority_key, days + 1)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(_usage("key_cert_sign", "crl_sign"), critical=True)
        .sign(authority_key, hashes.SHA256())
    )
    both_ends = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
    purposes = both_ends if server else [ExtendedKeyUsageOID.EMAIL_PROTECTION]
    unsigned = (
        _certificate("Test signer", key, days)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage("digital_signature"), critical=True)
        .add_extension(x509.ExtendedKeyUsage(purposes), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(authority_key.public_key()), critical=False
        )
    )  # fmt: skip
    if server:
        unsigned = unsigned.add_extension(x509.SubjectAlternativeName([x509.DNSName(server)]), critical=False)
    leaf = unsigned.sign(authority_key, hashes.SHA256())
    pem = serialization.Encoding.PEM
    return Chain(
        chain=leaf.public_bytes(pem) + authority.public_bytes(pem),
        key=key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()),
        authority=authority.public_bytes(pem),
        leaf=leaf.public_bytes(serialization.Encoding.DER),
    )


def _certificate(name: str, key: ec.EllipticCurvePrivateKey, days: int) -> x509.CertificateBuilder:
    yesterday = datetime.now(UTC) - timedelta(days=1)
    return (
        x509.CertificateBuilder()
        .subject_name(_name(name))
        .issuer_name(_name("Test authority"))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(yesterday)
        .not_valid_after(yesterday + timedelta(days=days))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )


def _name(common: str) -> x509.Name:
    organisation = x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Tests")
    return x509.Name([organisation, x509.NameAttribute(NameOID.COMMON_NAME, common)])


def _usage(*allowed: str) -> x509.KeyUsage:
    every = (
        "digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement",
        "key_cert_sign", "crl_sign", "encipher_only", "decipher_only",
    )  # fmt: skip
    return x509.KeyUsage(**{name: name in allowed for name in every})
