"""Redis as an operator may have it: jobs go from the request to the result."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.certificates import make_chain
from tests.support.paths import ROOT
from tests.support.processes import TURN, Service
from tests.support.redis_servers import RedisServer, TlsEnd, running, write_tls

pytestmark = pytest.mark.slow

PASSWORD = "p%ss/w#rd;?@"
QUOTED = "p%25ss%2Fw%23rd%3B%3F%40"


def rights() -> list[str]:
    """The user that docs/operations/redis.md recommends, as arguments of a server."""
    text = (ROOT / "docs/operations/redis.md").read_text("utf-8").replace("\\\n", "")
    line = re.search(r"^ +user (pirenderer on >PASSWORD .*)$", text, re.MULTILINE)
    assert line is not None
    return ["--user", *line[1].replace("PASSWORD", PASSWORD).split()]


def test_a_user_with_few_rights_a_client_certificate_and_another_database(tmp_path: Path) -> None:
    chain, key, authority = write_tls(tmp_path / "tls", make_chain(server="localhost"))
    server = RedisServer(tmp_path / "redis", *rights(), password="of the default user")
    with running(server):
        tls = TlsEnd(server.port, chain, key, clients=authority)
        files = f"ssl_ca_certs={authority}&ssl_certfile={chain}&ssl_keyfile={key}"
        reached = {"PIRENDERER_REDIS_URL": f"rediss://pirenderer:{QUOTED}@localhost:{tls.port}/5?{files}"}
        service = Service(tmp_path)
        try:
            check_jobs(service, reached)
            doctor = [sys.executable, "-m", "service.cli", "doctor"]
            environment = {**service.environment, **reached}
            said = subprocess.run(doctor, env=environment, cwd=ROOT, capture_output=True, text=True, check=False)
            assert re.search(r"[✓•] Redis: (Valkey|Redis) [\d.]+ answers", said.stdout), said
        finally:
            service.stop()
            tls.close()
        with server.client() as client:
            assert client.acl_log() == []
            assert client.dbsize() == 0
            client.select(5)
            assert {str(key).partition(":")[0] for key in client.scan_iter()} == {"pirenderer"}


def check_jobs(service: Service, reached: dict[str, str]) -> None:
    """An image is made, followed, told of and removed."""
    service.start("api", environment=reached)
    service.start("worker", environment=reached)
    service.wait_for_workers()
    job_id = service.create("images", "one", motion=TURN)
    (job,) = service.finished(job_id)
    assert job["status"] == "succeeded", job["error"]
    assert "succeeded" in service.client.get(f"/v1/jobs/{job_id}/events").text
    assert service.client.get(job["urls"]["result"]).status_code == 200
    assert service.client.get("/metrics").status_code == 200
    assert service.client.delete(f"/v1/jobs/{job_id}").status_code == 204
