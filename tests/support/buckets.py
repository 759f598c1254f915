"""An S3 server of our own on a free loopback port, which can be stopped and started again, and its buckets.

It is moto's, which speaks HTTP as S3 does and keeps objects in memory. It does not check signatures, nor that a signed
address has expired: what is without a signature it refuses.
"""

import functools
import itertools
from dataclasses import dataclass
from typing import Any

import boto3
from moto.moto_server.threaded_moto_server import ThreadedMotoServer

from service.running.embedded import free_port

CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "AKIATESTS",
    "AWS_SECRET_ACCESS_KEY": "not-to-be-told",
    "AWS_EC2_METADATA_DISABLED": "true",
    "AWS_CONFIG_FILE": "/dev/null",
    "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
}
NUMBERS = itertools.count(1)


@dataclass(frozen=True)
class Bucket:
    """An empty bucket and the settings that lead to it."""

    client: Any
    settings: dict[str, str]

    @property
    def environment(self) -> dict[str, str]:
        return {f"PIRENDERER_{name.upper()}": value for name, value in self.settings.items()}

    def names(self) -> list[str]:
        """The names of all objects, those that stand for folders among them."""
        found = self.client.list_objects_v2(Bucket=self.settings["s3_bucket"]).get("Contents", [])
        return [each["Key"] for each in found]

    def put(self, key: str, data: bytes = b"x") -> None:
        """Put an object as whoever else has access may."""
        self.client.put_object(Bucket=self.settings["s3_bucket"], Key=key, Body=data)


class S3Server:
    """The server. What it keeps outlives `stop`."""

    def __init__(self) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._server: ThreadedMotoServer | None = None

    def start(self) -> None:
        if self._server is None:
            self._server = ThreadedMotoServer("127.0.0.1", self.port, verbose=False)
            self._server.start()

    def stop(self) -> None:
        """From now on connections are refused."""
        if self._server is not None:
            self._server.stop()
            self._server = None

    @functools.cached_property
    def _client(self) -> Any:
        """One for all buckets: to make it takes a third of a second."""
        return boto3.client("s3", endpoint_url=self.url)

    def bucket(self) -> Bucket:
        name = f"bucket-{next(NUMBERS)}"
        self._client.create_bucket(Bucket=name)
        return Bucket(self._client, {"s3_bucket": name, "s3_endpoint_url": self.url, "s3_region": "us-east-1"})
