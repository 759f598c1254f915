"""Servers on this machine that mean harm or are broken, fetched from by HTTPS and as from anywhere else."""

import gzip

import pytest

from jobs.problems import ProblemType
from tests.service.outbound.conftest import INSIDE, LIMIT, Fetch
from tests.support.processes import PATIENCE_S
from tests.support.raw_servers import Script, redirects, repeats, says

OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"
BOMB = gzip.compress(bytes(10_000_000))


def answers(start: bytes, *, status: bytes = b"200 OK") -> Script:
    return says(b"HTTP/1.1 " + status + b"\r\n" + start)


SLOW = "it was not done after 0.3 s"
NOT_HTTP = "the answer is not proper HTTP, or breaks off"
LARGE = "is larger than the 1000 bytes allowed"
FAILING: dict[str, tuple[Script, str]] = {
    # time
    "never answers": (says(), SLOW),
    "begins to answer": (says(b"HTTP/1.1 20"), SLOW),
    "slow headers": (repeats(OK, b"A: b\r\n", 0.02), SLOW),
    "slow body": (repeats(OK + b"Content-Length: 900\r\n\r\n", b"a", 0.02), SLOW),
    "slow chunks": (repeats(CHUNKED, b"1\r\na\r\n", 0.02), SLOW),
    "a body that stops": (answers(b"Content-Length: 900\r\n\r\nabc"), SLOW),
    "a chunk that stops": (says(CHUNKED, b"3\r\nab"), SLOW),
    "no end of trailers": (repeats(CHUNKED + b"0\r\n", b"A: b\r\n", 0.02), SLOW),
    "continue for ever": (repeats(b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 100), SLOW),
    "early hints for ever": (repeats(b"", b"HTTP/1.1 103 Early\r\nLink: a\r\n\r\n", 0.01), SLOW),
    # statuses
    **{
        f"status {status}": (answers(b"Content-Length: 0\r\n\r\n", status=b"%d No" % status), f"is {status}; allowed")
        for status in (201, 202, 203, 204, 206, 226, 300, 304, 305, 306, 400, 401, 403, 404, 410, 429, 500, 503, 999)
    },
    # codings
    **{
        f"Content-Encoding {coding}": (
            answers(b"Content-Encoding: %s\r\nContent-Length: %d\r\n\r\n%s" % (coding.encode(), len(BOMB), BOMB)),
            f"its Content-Encoding is {coding!r}; allowed is none",
        )
        for coding in ("gzip", "x-gzip", "br", "deflate", "zstd", "compress", "GZIP", "gzip, gzip", "identity, br", "")
    },
    "gzip after identity": (answers(b"Content-Encoding: identity\r\nContent-Encoding: gzip\r\n\r\n"), "is 'gzip'"),
    "Transfer-Encoding gzip": (answers(b"Transfer-Encoding: gzip\r\n\r\n" + BOMB), NOT_HTTP),
    "Transfer-Encoding gzip, chunked": (answers(b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n"), NOT_HTTP),
    "two Transfer-Encodings": (answers(b"Transfer-Encoding: chunked\r\n" * 2 + b"\r\n0\r\n\r\n"), NOT_HTTP),
    # lengths
    **{
        f"Content-Length {length}": (answers(b"Content-Length: %s\r\n\r\nabc" % length.encode()), NOT_HTTP)
        for length in ("-3", "+3", "three", "3.0", "0x3", "3 3", "", "3, 4", "3,", "9" * 21, "³")
    },
    "two lengths": (answers(b"Content-Length: 3\r\nContent-Length: 4\r\n\r\nabcd"), NOT_HTTP),
    "cut off": (says(OK + b"Content-Length: 9\r\n\r\nabc", then="close"), NOT_HTTP),
    "cut off before its first byte": (says(OK + b"Content-Length: 9\r\n\r\n", then="close"), NOT_HTTP),
    # chunks
    **{
        f"chunk {size!r}": (says(CHUNKED + size + b"\r\nabc\r\n0\r\n\r\n"), NOT_HTTP)
        for size in (b"", b"-3", b"+3", b"0x3", b"g", b"3 4", b"\xff", b"f" * 21, b"3\0")
    },
    "chunk without its end": (says(CHUNKED + b"3\r\nabcdef\r\n0\r\n\r\n"), NOT_HTTP),
    "chunks cut off": (says(CHUNKED + b"3\r\nabc\r\n", then="close"), NOT_HTTP),
    "a chunk cut off": (says(CHUNKED + b"3\r\nab", then="close"), NOT_HTTP),
    "no last chunk": (says(CHUNKED + b"3\r\nabc\r\n0\r\n", then="close"), NOT_HTTP),
    "endless chunk extension": (repeats(CHUNKED + b"3;", b"a" * 10_000), NOT_HTTP),
    "endless trailers": (repeats(CHUNKED + b"0\r\n", b"A: b\r\n" * 1000), NOT_HTTP),
    # headers
    "a header of 200 kB": (answers(b"A: " + b"b" * 200_000 + b"\r\n\r\n"), NOT_HTTP),
    "40 000 headers": (answers(b"A: b\r\n" * 40_000 + b"\r\n"), NOT_HTTP),
    "endless headers": (repeats(OK, b"A: b\r\n" * 1000), NOT_HTTP),
    "an endless header": (repeats(OK + b"A: ", b"b" * 10_000), NOT_HTTP),
    "an endless folded header": (repeats(OK + b"A: b\r\n", b" c\r\n" * 1000), NOT_HTTP),
    "an endless status line": (repeats(b"HTTP/1.1 200 ", b"b" * 10_000), NOT_HTTP),
    "a header without a name": (answers(b": b\r\n\r\n"), NOT_HTTP),
    "a header without a colon": (answers(b"nonsense\r\n\r\n"), NOT_HTTP),
    "a space before the colon": (answers(b"Content-Length : 3\r\n\r\nabc"), NOT_HTTP),
    "NUL in a header": (answers(b"A: \0\r\n\r\n"), NOT_HTTP),
    "a fold at the start": (answers(b" A: b\r\n\r\n"), NOT_HTTP),
    # no HTTP
    "HTTP/0.9": (says(b"<html>hello</html>\r\n\r\n", then="close"), NOT_HTTP),
    "SSH": (says(b"SSH-2.0-OpenSSH_9.6\r\n\r\n"), NOT_HTTP),
    "Redis": (says(b"-ERR unknown command\r\n\r\n"), NOT_HTTP),
    "HTTP/2": (says(b"\0\0\x12\4\0\0\0\0\0\0\3\0\0\0\x80\0\4\0\1\0\0\0\5\0\xff\xff\xff", then="close"), NOT_HTTP),
    "HTTP/9.9": (says(b"HTTP/x.y 200 OK\r\n\r\n"), NOT_HTTP),
    "no status": (says(b"HTTP/1.1 OK\r\n\r\n"), NOT_HTTP),
    "a status of 4 digits": (says(b"HTTP/1.1 2000 OK\r\n\r\n"), NOT_HTTP),
    "noise": (repeats(b"", bytes(range(256)) * 40), NOT_HTTP),
    "nothing": (says(then="close"), NOT_HTTP),
    "empty lines": (repeats(b"", b"\r\n" * 1000), NOT_HTTP),
    "switching protocols": (says(b"HTTP/1.1 101 Switching\r\nUpgrade: websocket\r\n\r\n"), NOT_HTTP),
    "reset": (says(then="reset"), "the connection broke off"),
    "reset in the headers": (says(OK, then="reset"), "broke off"),
    "reset in the body": (says(OK + b"Content-Length: 9\r\n\r\nabc", then="reset"), "broke off"),
    # redirects to nowhere
    "a loop": (redirects(b"/me.jpg"), "it is redirected more than 5 times"),
    "a loop by its own name": (redirects(b"https://photos.example:%d/me.jpg", status=308), "more than 5 times"),
    "no Location": (redirects(), "to no address, or several"),
    "an empty Location": (redirects(b""), "to no address, or several"),
    "two Locations": (redirects(b"/a", b"/b", status=301), "to no address, or several"),
    "to a host that nobody knows": (redirects(b"https://nowhere.example/"), "its host is not known"),
    "to a port where nobody listens": (redirects(b"https://photos.example:1/"), "no connection came about"),
}  # fmt: skip
TOO_LARGE: dict[str, Script] = {
    "endless body": repeats(OK + b"\r\n", b"a" * 10_000),
    "endless chunks": repeats(CHUNKED, b"1000\r\n" + b"a" * 4096 + b"\r\n"),
    "endless chunks of one byte": repeats(CHUNKED, b"1\r\na\r\n" * 100),
    "a chunk of 2^60 bytes": repeats(CHUNKED + b"1000000000000000\r\n", b"a" * 10_000),
    "one byte too many": answers(b"Transfer-Encoding: chunked\r\n\r\n3E9\r\n" + b"a" * 1001 + b"\r\n0\r\n\r\n"),
    "a length of one byte too many": answers(b"Content-Length: 1001\r\n\r\n"),
    "a length of 20 digits": answers(b"Content-Length: 99999999999999999999\r\n\r\n"),
    "a length beside chunks": answers(b"Content-Length: 1001\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
}
LEADS_INSIDE = "it leads to an address that is not public"
MISLED: dict[bytes, str] = {
    b"http://photos.example:%d/": "its scheme is 'http'",
    b"http://127.0.0.1/": "its scheme is 'http'",
    b"file:///etc/passwd": "its scheme is 'file'",
    b"ftp://photos.example/": "its scheme is 'ftp'",
    b"data:image/png;base64,AAAA": "its scheme is 'data'",
    b"javascript:alert(1)": "its scheme is 'javascript'",
    b"gopher://photos.example:6379/_FLUSHALL": "its scheme is 'gopher'",
    b"https://10.0.0.1/": "10.0.0.1 is not a public address",
    b"//10.0.0.1/": "10.0.0.1 is not a public address",
    b"https://169.254.169.254/latest/meta-data/": "169.254.169.254 is not a public address",
    b"https://[::1]/": "::1 is not a public address",
    b"https://[::ffff:10.0.0.1]/": "::ffff:10.0.0.1 is not a public address",
    b"https://[64:ff9b::10.0.0.1]/": "64:ff9b::10.0.0.1 is not a public address",
    b"https://2130706433/": "cannot be a host's name",
    b"https://0177.0.0.1/": "cannot be a host's name",
    b"https://127.1/": "cannot be a host's name",
    b"https://me:secret@photos.example:%d/": "no user",
    b"https://photos.example@127.0.0.1/": "no user",
    b"//photos.example\\@127.0.0.1/": "backslashes",
    b"/a b": "without spaces",
    b"/\xc3\xbc": "printable ASCII",
    b"/me.jpg#face": "fragment",
    b"https://photos.example:0/": "port 0",
    b"https://photos.example:99999/": "Port out of range",
    b"https://[::1/": "Invalid IPv6 URL",
    b"/" + b"a" * 3000: "of which 2048 are allowed",
    b"https://inside.example/": LEADS_INSIDE,
    b"https://inside.example:6379/": LEADS_INSIDE,
    b"https://both.example/": LEADS_INSIDE,
    b"https://mapped.example/": LEADS_INSIDE,
    b"https://nat64.example/": LEADS_INSIDE,
}


@pytest.mark.parametrize("case", FAILING)
def test_what_does_not_come_whole_is_said_to_have_failed(fetch: Fetch, case: str) -> None:
    script, why = FAILING[case]
    fetch.names["nowhere.example"] = []
    fetch.refused(script, ProblemType.FETCH_FAILED, why, timeout_s=0.3 if why is SLOW else PATIENCE_S)


@pytest.mark.parametrize("case", TOO_LARGE)
def test_what_is_too_large_is_not_read_on(fetch: Fetch, case: str) -> None:
    assert fetch.refused(TOO_LARGE[case], ProblemType.TOO_LARGE, LARGE).allowed == LIMIT


@pytest.mark.parametrize("location", MISLED)
def test_redirects_are_checked_as_addresses_are(fetch: Fetch, location: bytes) -> None:
    fetch.names |= {
        "inside.example": [[INSIDE]], "both.example": [["127.0.0.1", INSIDE]],
        "mapped.example": [[f"::ffff:{INSIDE}"]], "nat64.example": [[f"64:ff9b::{INSIDE}"]],
    }  # fmt: skip
    fetch.refused(redirects(location), ProblemType.INVALID_ADDRESS, MISLED[location])


def test_what_comes_in_crumbs_is_not_read_on(fetch: Fetch) -> None:
    fetch.limit = 1 << 30
    crumbs = repeats(CHUNKED, b"1\r\na\r\n" * 1000)
    fetch.refused(crumbs, ProblemType.FETCH_FAILED, "it comes in pieces of less than 64 bytes")
