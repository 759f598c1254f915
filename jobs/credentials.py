"""Content Credentials: results signed with the operator's certificate, when one is set, as the C2PA specifies.

A manifest in the file says what made it (C2PA Technical Specification 2, "Actions") in the words of the IPTC's digital
source types, and its signature covers the whole file. The library is that of the Content Authenticity Initiative.
"""

import importlib
import io
from datetime import datetime
from pathlib import Path
from typing import IO, Any

from PIL import Image

from jobs.errors import UnusableError
from jobs.files.written import written
from jobs.formats import VIDEO_FORMATS, VideoFormat
from jobs.problems import ProblemError, ProblemType
from jobs.regular_files import read_regular
from jobs.settings import SharedSettings

SOURCE_TYPES = "http://cv.iptc.org/newscodes/digitalsourcetype/"
AGENT = {"name": "PIRenderer"}
SETTINGS = {
    "builder": {"thumbnail": {"enabled": False}},  # of the file in itself
    "verify": {"remote_manifest_fetch": False, "ocsp_fetch": False},
}


class InvalidCredentialsError(UnusableError):
    """The certificate, its key or the library cannot sign; the text says why."""


class ContentCredentials:
    """Signs files. One may be shared between threads."""

    def __init__(self, certificate: bytes, key: bytes, algorithm: str, timestamp_url: str | None = None) -> None:
        """`certificate` is a chain in PEM, the signer's own first; `key` is its key in PEM, PKCS 8, without a password.

        Raises InvalidCredentialsError.
        """
        try:
            self._c2pa: Any = importlib.import_module("c2pa")
            self._x509: Any = importlib.import_module("cryptography.x509")
        except ModuleNotFoundError as error:
            raise InvalidCredentialsError(
                "PIRENDERER_C2PA_CERTIFICATE is set, but c2pa-python is not installed: "
                "pip install c2pa-python cryptography"
            ) from error
        try:
            self._leaf = self._x509.load_pem_x509_certificates(certificate)[0]
            self._context = self._context_of(certificate, key, algorithm, None)
            self._try()
            if timestamp_url is not None:  # which is not asked before there is something to sign
                self._context = self._context_of(certificate, key, algorithm, timestamp_url)
        except (ValueError, self._c2pa.C2paError) as error:
            raise InvalidCredentialsError(f"nothing can be signed with it as {algorithm}: {error}") from error

    @classmethod
    def of(cls, settings: SharedSettings) -> "ContentCredentials | None":
        """Those that are set, or None where none are. Raises InvalidCredentialsError."""
        certificate, key = settings.c2pa_certificate, settings.c2pa_key
        if certificate is None and key is None:
            return None
        if certificate is None or key is None:
            missing = "PIRENDERER_C2PA_CERTIFICATE" if certificate is None else "PIRENDERER_C2PA_KEY"
            raise InvalidCredentialsError(f"{missing} is not set; a certificate and its key are needed, or neither")
        try:
            chain, secret = read_regular(certificate), read_regular(key)
        except OSError as error:
            raise InvalidCredentialsError(f"{error.filename}: {error.strerror}") from error
        try:
            return cls(chain, secret, settings.c2pa_algorithm, settings.c2pa_timestamp_url)
        except InvalidCredentialsError as error:
            raise InvalidCredentialsError(f"{certificate} with the key {key}: {error}") from error

    @property
    def subject(self) -> str:
        """Who signs, as the certificate says."""
        return str(self._leaf.subject.rfc4514_string())

    @property
    def valid_until(self) -> datetime:
        """When the certificate ends."""
        until: datetime = self._leaf.not_valid_after_utc
        return until

    def check_video(self, name: VideoFormat) -> None:
        """Refuse a format whose files cannot hold a manifest. Raises ProblemError: invalid-options."""
        known = self._c2pa.Builder.get_supported_mime_types()
        allowed = [each for each, form in VIDEO_FORMATS.items() if form.media_type in known]
        if name not in allowed:
            raise ProblemError(
                ProblemType.INVALID_OPTIONS,
                f"results are signed here, which a {name} cannot be; allowed is {', '.join(allowed)}",
                got=name,
                allowed=allowed,
            )

    def signed(self, data: bytes, media_type: str, *, composite: bool) -> bytes:
        """A small file with its manifest; `composite` says that part of the picture is the uploaded photo."""
        signed = io.BytesIO()
        self._sign(io.BytesIO(data), signed, media_type, composite=composite)
        return signed.getvalue()

    def sign_file(self, path: Path, media_type: str, *, composite: bool) -> None:
        """Put the manifest into a file, which is replaced when that is done."""
        with written(path) as temporary, path.open("rb") as source, temporary.open("w+b") as signed:
            self._sign(source, signed, media_type, composite=composite)

    def _sign(self, source: IO[bytes], signed: IO[bytes], media_type: str, *, composite: bool) -> None:
        kind = "compositeWithTrainedAlgorithmicMedia" if composite else "trainedAlgorithmicMedia"
        action = {"action": "c2pa.created", "digitalSourceType": SOURCE_TYPES + kind, "softwareAgent": AGENT}
        manifest = {
            "claim_generator_info": [AGENT],
            "assertions": [{"label": "c2pa.actions.v2", "data": {"actions": [action]}}],
        }
        with self._c2pa.Builder(manifest, self._context) as builder:
            builder.sign(media_type, source, signed)

    def _context_of(self, certificate: bytes, key: bytes, algorithm: str, timestamp_url: str | None) -> Any:
        signer = self._c2pa.Signer.from_info(
            self._c2pa.C2paSignerInfo(algorithm.encode(), certificate, key, timestamp_url and timestamp_url.encode())
        )
        return self._c2pa.Context(settings=self._c2pa.Settings.from_dict(SETTINGS), signer=signer)

    def _try(self) -> None:
        """Sign one pixel: the library checks the certificate, and that key and algorithm are its own."""
        pixel = io.BytesIO()
        Image.new("RGB", (1, 1)).save(pixel, "PNG")
        self.signed(pixel.getvalue(), "image/png", composite=False)
