"""Redis servers of a test's own, as operators have them: with users, replicas and Sentinels, or behind TLS."""

import contextlib
import select
import signal
import socket
import ssl
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import redis

from service.running.embedded import find_redis_server, free_port
from tests.support.certificates import Chain
from tests.support.lines import Relay
from tests.support.processes import until

LOGGED = ("--appendonly", "yes", "--save", "")


class RedisServer:
    """One that listens at `port` with its data in `folder`; `arguments` are the binary's, and `sentinel` what it is."""

    def __init__(self, folder: Path, *arguments: str, password: str | None = None, sentinel: bool = False) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        binary = find_redis_server()
        assert binary is not None
        self.port = free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self._password = password
        self._folder = folder
        places = ["--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(folder), "--logfile", "redis.log"]
        secret = ["--requirepass", password, "--masterauth", password] if password else []
        configuration = folder / "sentinel.conf"
        if sentinel:
            configuration.write_text("\n".join(arguments) + "\n")
            self._command = [str(binary), str(configuration), "--sentinel", *places]
        else:
            self._command = [str(binary), *LOGGED, *places, *secret, *arguments]
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Until it answers, be it with a refusal."""
        self.process = subprocess.Popen(self._command, stdout=subprocess.DEVNULL)
        until(self._answers, (self._folder / "redis.log").read_text)

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def hang(self) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGCONT)

    def client(self) -> "redis.Redis":
        return redis.Redis(port=self.port, password=self._password, decode_responses=True)

    def _answers(self) -> bool:
        try:
            with self.client() as client:
                client.ping()
        except (redis.ConnectionError, redis.TimeoutError) as error:
            return isinstance(error, redis.AuthenticationError)
        except redis.ResponseError:
            return True
        return True


@contextlib.contextmanager
def running(*servers: RedisServer) -> Iterator[None]:
    """The servers while the block runs."""
    try:
        for server in servers:
            server.start()
        yield
    finally:
        for server in servers:
            if server.process is not None:
                server.kill()


class TlsEnd(Relay):
    """Ends TLS before the server at `server_port`, as stunnel does: Redis is not always built with TLS.

    With `clients` it lets only those in who have a certificate of that authority. `answers` is given what the server
    says, and returns what is passed on.
    """

    def __init__(
        self,
        server_port: int,
        chain: Path,
        key: Path,
        *,
        clients: Path | None = None,
        answers: Callable[[bytes], bytes] = bytes,
    ) -> None:
        self._server_port = server_port
        self._answers = answers
        self._context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=clients)
        self._context.load_cert_chain(chain, key)
        if clients is not None:
            self._context.verify_mode = ssl.CERT_REQUIRED
        super().__init__()

    def serve(self, client: socket.socket) -> None:
        """Until either side ends."""
        with (
            contextlib.suppress(OSError),
            socket.create_connection(("127.0.0.1", self._server_port)) as server,
            self._context.wrap_socket(client, server_side=True) as secured,
        ):
            while True:
                ready = [secured] if secured.pending() else select.select([secured, server], [], [])[0]
                for source, target in ((secured, server), (server, secured)):
                    if source in ready:
                        data = source.recv(1 << 16)
                        if not data:
                            return
                        target.sendall(self._answers(data) if source is server else data)


def write_tls(folder: Path, chain: Chain) -> tuple[Path, Path, Path]:
    """Files of a certificate with those above it, its key, and the authority that clients are to believe."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = folder / "chain.pem", folder / "key.pem", folder / "authority.pem"
    for path, text in zip(paths, (chain.chain, chain.key, chain.authority), strict=True):
        path.write_bytes(text)
    return paths
