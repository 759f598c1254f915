"""Artifacts in an S3-compatible bucket.

Every put has a name of its own (`result-1a2b3c4d.png`): nothing that was put is ever replaced, so a copy of a job that
comes late spoils no other's result; the job names the one that counts. A job's folder is an empty object `JOB/`. Who
puts something looks for it afterwards: S3 is consistent, so either the folder is still there, or its deletion has seen
what was put, or it is seen here that it is gone, and what was put goes with it.
"""

import importlib
import secrets
import shutil
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from itertools import groupby
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from jobs.files.artifacts import (
    ArtifactMissingError,
    ArtifactsAwayError,
    ArtifactStore,
    Draft,
    InvalidArtifactStoreError,
    SignedUrl,
)
from jobs.files.keys import ID, checked_id, split_key
from jobs.files.scratch import Scratch
from jobs.settings import SharedSettings

CHUNK = 1 << 20
# Servers that are only like S3 need not know the newer checksums. Whoever waits is told soon that nobody answers.
CLIENT = {
    "signature_version": "s3v4",
    "connect_timeout": 3,
    "read_timeout": 30,
    "retries": {"mode": "standard", "total_max_attempts": 2},
    "max_pool_connections": 40,  # as many as the front-end has threads
    "request_checksum_calculation": "when_required",
    "response_checksum_validation": "when_required",
}


class BucketDraft(Draft):
    """A draft in the scratch folder, which is sent to the bucket."""

    def __init__(self, key: str, folder: Path, limit: int | None, store: "BucketArtifacts") -> None:
        super().__init__(key, folder, limit)
        self._artifacts = store

    def _store(self) -> None:
        self._artifacts.send(self.path, self.key)


class BucketArtifacts(ArtifactStore):
    """Artifacts as the objects `PREFIX JOB/NAME` of a bucket; drafts and what is read pass through a scratch folder.

    Credentials are found as boto3 finds them: environment, shared files, the machine's or container's role.
    """

    def __init__(self, settings: SharedSettings) -> None:
        """Connects on first use. Raises InvalidArtifactStoreError."""
        try:
            boto3: Any = importlib.import_module("boto3")
            botocore: Any = importlib.import_module("botocore")
            config: Any = importlib.import_module("botocore.config").Config
            self._errors: Any = importlib.import_module("botocore.exceptions")
        except ModuleNotFoundError as error:
            raise InvalidArtifactStoreError(
                "PIRENDERER_S3_BUCKET is set, but boto3 is not installed: pip install boto3"
            ) from error
        self._bucket = settings.s3_bucket
        self._prefix = settings.s3_prefix
        self._lifetime_s = settings.s3_url_lifetime_s
        self._scratch = Scratch(settings.scratch_dir)
        endpoint = settings.s3_endpoint_url or None
        public = settings.s3_public_url or endpoint

        def connect(url: str | None, **options: Any) -> Any:
            # without it boto3 signs addresses of AWS for a host of no region, which sends clients on to another
            style = {"addressing_style": "virtual"} if url is None else None
            chosen = config(**{**CLIENT, "s3": style, **options})
            return session.client("s3", endpoint_url=url, region_name=settings.s3_region or None, config=chosen)

        try:
            session = boto3.Session()
            self._s3 = connect(endpoint)
            self._signer = self._s3 if public == endpoint else connect(public)
            unsigned = connect(public, signature_version=botocore.UNSIGNED)  # which needs no credentials
            url = urlsplit(unsigned.generate_presigned_url("get_object", Params={"Bucket": self._bucket, "Key": "x"}))
        except (ValueError, self._errors.BotoCoreError) as error:
            why = " ".join(str(error).split())  # of several lines for some names
            raise InvalidArtifactStoreError(f"the bucket {self._bucket!r} cannot be used: {why}") from error
        self.origin = f"{url.scheme}://{url.netloc}"

    def prepare(self) -> None:
        """Nothing needs to be made: the bucket is there."""

    def check(self) -> None:
        """Raise ArtifactsAwayError when the bucket cannot be reached."""
        try:
            with self._asking("bucket"):
                self._s3.head_bucket(Bucket=self._bucket)
        except ArtifactMissingError as error:
            raise ArtifactsAwayError("the artifact store has no such bucket") from error

    def create_folder(self, folder_id: str) -> None:
        """Put the object that stands for the folder of a new job or portrait."""
        with self._asking(f"folder of {folder_id}"):
            self._s3.put_object(Bucket=self._bucket, Key=self._folder(folder_id), Body=b"")

    def draft(self, folder_id: str, name: str, *, limit: int | None = None) -> BucketDraft:
        """Begin an artifact in the scratch folder; that its job is gone is seen at the end. Raises OSError."""
        split_key(f"{folder_id}/{name}")
        stem, dot, suffix = name.partition(".")
        key = f"{folder_id}/{stem}-{secrets.token_hex(4)}{dot}{suffix}"
        return BucketDraft(key, self._scratch.make_folder(folder_id), limit, self)

    def send(self, path: Path, key: str) -> None:
        """Put a file into the bucket as an artifact. Raises ArtifactMissingError when the job's folder is gone."""
        with self._asking(f"artifact {key}"), path.open("rb") as file:
            self._s3.put_object(Bucket=self._bucket, Key=self._name(key), Body=file)
        self._insist_on_folder(key)

    def link(self, key: str, folder_id: str) -> str:
        """Give an artifact to another job as a copy that the server makes. Raises ArtifactMissingError."""
        linked = f"{folder_id}/{split_key(key)[1]}"
        source = {"Bucket": self._bucket, "Key": self._name(key)}
        with self._asking(f"artifact {key}"):
            self._s3.copy_object(Bucket=self._bucket, Key=self._name(linked), CopySource=source)
        self._insist_on_folder(linked)
        return linked

    @contextmanager
    def reading(self, key: str) -> Iterator[Path]:
        """The artifact, fetched into the scratch folder. Raises ArtifactMissingError, OSError."""
        folder_id, name = split_key(key)
        folder = self._scratch.make_folder(folder_id)
        try:
            path = folder / name
            with self._asking(f"artifact {key}"), path.open("wb") as file:
                body = self._s3.get_object(Bucket=self._bucket, Key=self._name(key))["Body"]
                for chunk in body.iter_chunks(CHUNK):
                    file.write(chunk)
            yield path
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def locate(self, key: str, *, method: str, media_type: str, filename: str) -> SignedUrl:
        """An address signed for a short time. Raises ArtifactMissingError."""
        asked = {"Bucket": self._bucket, "Key": self._name(key)}
        answered = {
            "ResponseContentType": media_type,
            "ResponseContentDisposition": f'inline; filename="{filename}"',
            "ResponseCacheControl": "private, no-store",
        }
        operation = "head_object" if method == "HEAD" else "get_object"
        with self._asking(f"artifact {key}"):
            self._s3.head_object(**asked)
            return SignedUrl(
                self._signer.generate_presigned_url(operation, Params={**asked, **answered}, ExpiresIn=self._lifetime_s)
            )

    def clear(self, folder_id: str, keep: Collection[str]) -> None:
        """Remove all objects of a job but its folder and the keys `keep`, and what of it lies in the scratch folder."""
        self._scratch.clear(folder_id)
        kept = {self._folder(folder_id), *(self._name(key) for key in keep)}
        for found in self._objects(self._folder(folder_id)):
            if found["Key"] not in kept:
                self._remove(found["Key"])

    def delete(self, key: str) -> None:
        """Remove one artifact; fine if there is none."""
        with self._asking(f"artifact {key}"):
            self._remove(self._name(key))

    def delete_folder(self, folder_id: str) -> None:
        """Remove a folder, then what is in it."""
        self._remove(self._folder(folder_id))
        for found in self._objects(self._folder(folder_id)):
            self._remove(found["Key"])

    def _old_folders(self, older_than_s: float) -> Iterator[str]:
        self._scratch.clear()

        def folder_of(found: dict[str, Any]) -> str:
            return str(found["Key"]).removeprefix(self._prefix).partition("/")[0]

        for folder_id, objects in groupby(self._objects(self._prefix), folder_of):
            newest = max(found["LastModified"].timestamp() for found in objects)
            if ID.fullmatch(folder_id) and time.time() - newest > older_than_s:
                yield folder_id

    def _insist_on_folder(self, key: str) -> None:
        """After a put: where the folder is gone, so shall be what was put."""
        folder = self._folder(split_key(key)[0])
        try:
            with self._asking(f"folder for {key}"):
                self._s3.head_object(Bucket=self._bucket, Key=folder)
        except ArtifactMissingError:
            self._remove(self._name(key))
            raise

    def _objects(self, prefix: str) -> Iterator[dict[str, Any]]:
        """The objects whose names begin so, in the order of their names."""
        with self._asking("bucket"):
            for page in self._s3.get_paginator("list_objects_v2").paginate(Bucket=self._bucket, Prefix=prefix):
                yield from page.get("Contents", [])

    def _remove(self, name: str) -> None:
        with self._asking(f"object {name}"):
            self._s3.delete_object(Bucket=self._bucket, Key=name)

    def _folder(self, folder_id: str) -> str:
        return f"{self._prefix}{checked_id(folder_id)}/"

    def _name(self, key: str) -> str:
        folder_id, name = split_key(key)
        return self._folder(folder_id) + name

    @contextmanager
    def _asking(self, what: str) -> Iterator[None]:
        """Turn boto3's exceptions into ours."""
        try:
            yield
        except self._errors.ClientError as error:
            code = error.response.get("Error", {}).get("Code", "an error")
            if code in ("NoSuchKey", "404"):  # the answer to a HEAD has no other code
                raise ArtifactMissingError(f"there is no {what}") from error
            raise ArtifactsAwayError(f"the artifact store answers {code}") from error
        except self._errors.BotoCoreError as error:
            raise ArtifactsAwayError(f"the artifact store does not answer ({type(error).__name__})") from error
