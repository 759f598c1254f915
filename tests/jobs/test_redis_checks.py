"""What is said of a Redis that can never be used, by everything that starts; servers are real."""

from pathlib import Path

import pytest
import redis
from typer.testing import CliRunner

from jobs.redis_checks import UnusableRedisError, check_redis, redis_facts
from service.cli import app
from service.running.embedded import free_port
from tests.support.certificates import make_chain
from tests.support.lines import Line
from tests.support.redis_servers import RedisServer, TlsEnd, running, write_tls

SECRET = "s3cr3t"
USER = ("--user", "jobs", "on", f">{SECRET}", "~pirenderer:*")


def check_refused(url: str, why: str) -> None:
    with pytest.raises(UnusableRedisError) as caught:
        check_redis(url)
    text = str(caught.value)
    assert text.startswith(f"PIRENDERER_REDIS_URL: {why}")
    assert SECRET not in text
    assert "\n" not in text


def test_a_cluster_is_refused_by_all_that_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    server = RedisServer(tmp_path / "redis", "--cluster-enabled", "yes", "--cluster-port", str(free_port()))
    with running(server):
        check_refused(server.url, "it is a Redis Cluster, whose nodes hold a part of the keys each; take one that is n")
        monkeypatch.setenv("PIRENDERER_REDIS_URL", server.url)
        monkeypatch.setenv("PIRENDERER_DATA_DIR", str(tmp_path / "data"))
        for command in ("serve", "api", "worker"):
            result = CliRunner().invoke(app, [command])
            assert result.exit_code == 2, command
            assert result.output.startswith("error: PIRENDERER_REDIS_URL: it is a Redis Cluster"), command
            assert result.output.count("\n") == 1, command
        result = CliRunner().invoke(app, ["doctor", "--json"])
        assert result.exit_code == 1
        assert "it is a Redis Cluster" in result.output


def test_a_replica_is_refused_and_its_master_named(tmp_path: Path) -> None:
    master = RedisServer(tmp_path / "master")
    replica = RedisServer(tmp_path / "replica", "--replicaof", f"127.0.0.1 {master.port}")
    with running(master, replica):
        why = f"it is a replica, which takes no writes; its master is 127.0.0.1:{master.port}"
        check_refused(replica.url, why)
        check_redis(master.url)


def test_wrong_names_passwords_and_rights_are_told(tmp_path: Path) -> None:
    server = RedisServer(tmp_path, *USER, "+ping", "+hello", "+info", password=SECRET)
    with running(server):
        at = f"127.0.0.1:{server.port}"
        check_refused(f"redis://{at}/0", "it does not let us in: Authentication required; name and password stand")
        check_refused(f"redis://:{SECRET}x@{at}/0", "it does not let us in: invalid username-password pair or user is")
        check_refused(f"redis://jobs:{SECRET}@{at}/0", "its user may not do all that is needed: ")
        check_refused(f"redis://:{SECRET}@{at}/99", "it has no database of this number")
        check_redis(f"redis://:{SECRET}@{at}/15")


def test_one_that_is_too_old_is_refused(tmp_path: Path) -> None:
    """A real one, which is made to say that it is older."""
    server = RedisServer(tmp_path)
    with running(server), server.client() as client:
        ours = f"redis_version:{client.info()['redis_version']}".encode()
        older = b"redis_version:6.0.9".ljust(len(ours), b"0")
        with Line(f"http://127.0.0.1:{server.port}", lambda data: data.replace(ours, older)) as line:
            check_refused(f"redis://127.0.0.1:{line.port}/0", "it is Redis 6.0.9; it must be 6.2 or newer, or Valkey")


def test_a_sentinel_and_what_it_does_not_know_are_refused(tmp_path: Path) -> None:
    server = RedisServer(tmp_path / "redis")
    watches = f"sentinel monitor ours 127.0.0.1 {server.port} 1"
    sentinel = RedisServer(tmp_path / "sentinel", watches, sentinel=True)
    with running(server, sentinel):
        at = f"127.0.0.1:{sentinel.port}"
        check_refused(f"redis://{at}/0", "it is a Sentinel; the address of a Redis that it watches is sentinel://")
        other = f"the Sentinel at {at} knows no service 'theirs'; it knows ours"
        check_refused(f"sentinel://{at}/0?service=theirs", other)
        none = f"the Sentinel at 127.0.0.1:{server.port} is none: "
        check_refused(f"sentinel://127.0.0.1:{server.port}/0?service=ours", none)
        check_redis(f"sentinel://127.0.0.1:1,{at}/0?service=ours")


def test_certificates_are_checked(tmp_path: Path) -> None:
    chain, key, authority = write_tls(tmp_path / "ours", make_chain(server="localhost"))
    _, _, other = write_tls(tmp_path / "other", make_chain(server="localhost"))
    server = RedisServer(tmp_path / "redis")
    with running(server):
        tls = TlsEnd(server.port, chain, key)
        strict = TlsEnd(server.port, chain, key, clients=authority)
        try:
            trust = f"ssl_ca_certs={authority}"
            check_refused(f"rediss://localhost:{tls.port}/0", "its certificate is not believed: ")
            check_refused(f"rediss://localhost:{tls.port}/0?ssl_ca_certs={other}", "its certificate is not believed: ")
            mismatch = "its certificate is not believed: IP address mismatch"
            check_refused(f"rediss://127.0.0.1:{tls.port}/0?{trust}", mismatch)
            missing = "ssl_ca_certs cannot be read: No such file"
            check_refused(f"rediss://localhost:{tls.port}/0?ssl_ca_certs={tmp_path}/none.pem", missing)
            check_refused(f"rediss://localhost:{strict.port}/0?{trust}", "no TLS with it: ")
            assert redis_facts(f"rediss://localhost:{tls.port}/0?{trust}")
            assert redis_facts(f"rediss://127.0.0.1:{tls.port}/0?{trust}&ssl_check_hostname=false")
            assert redis_facts(f"rediss://127.0.0.1:{tls.port}/0?ssl_cert_reqs=none")
            mine = f"ssl_certfile={chain}&ssl_keyfile={key}"
            assert redis_facts(f"rediss://localhost:{strict.port}/0?{trust}&{mine}")
        finally:
            tls.close()
            strict.close()


@pytest.mark.parametrize("error", ["LOADING", "OOM", "MISCONF", "refused"])
def test_one_that_is_away_for_now_passes(tmp_path: Path, error: str) -> None:
    server = RedisServer(tmp_path)
    with running(server), server.client() as client:
        said = b"-" + error.encode() + b" it is not for now\r\n"
        with Line(f"http://127.0.0.1:{server.port}", lambda data: said if b"redis_version" in data else data) as line:
            url = f"redis://127.0.0.1:{line.port if error != 'refused' else 1}/0"
            with pytest.raises(redis.RedisError):
                redis_facts(url)
            check_redis(url)
        assert client.ping()


def test_a_doctor_needs_no_config_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As with those that are let."""
    server = RedisServer(tmp_path / "redis", "--rename-command", "CONFIG", "", "--maxmemory-policy", "noeviction")
    with running(server):
        monkeypatch.setenv("PIRENDERER_REDIS_URL", server.url)
        monkeypatch.setenv("PIRENDERER_DATA_DIR", str(tmp_path / "data"))
        result = CliRunner().invoke(app, ["doctor"])
        assert "✓ Redis: Valkey" in result.output or "✓ Redis: Redis" in result.output, result.output


def test_protected_mode_is_told_in_a_line(tmp_path: Path) -> None:
    """As Redis tells whoever comes from another machine: a real one, which is made to say it."""
    server = RedisServer(tmp_path)
    with running(server):
        said = b"-DENIED Running in protected mode because protected mode is enabled and no password is set.\r\n"
        with Line(f"http://127.0.0.1:{server.port}", lambda _: said) as line:
            check_refused(
                f"redis://127.0.0.1:{line.port}/0", "it is in protected mode and lets only its own machine in"
            )
