"""Addresses that are refused before anybody is asked for them."""

import pytest

from jobs.problems import ProblemError, ProblemType
from service.outbound.fetching import checked_address

GOOD = [
    "https://example.org/me.jpg", "https://example.org", "https://example.org:8443/a;b?c=d&e=%20",
    "https://xn--bcher-kva.example/", "HTTPS://EXAMPLE.ORG/", "https://1.1.1.1/a.png", "https://[2a00::1]:8443/a.png",
    f"https://example.org/{'a' * 2028}",
]  # fmt: skip
# scheme, whose it is, how it is written, who is named in it
REFUSED = {
    "": "its scheme is ''",
    "me.jpg": "its scheme is ''",
    "//example.org/": "its scheme is ''",
    "http://example.org/": "its scheme is 'http'",
    "file:///etc/passwd": "its scheme is 'file'",
    "ftp://example.org/me.jpg": "its scheme is 'ftp'",
    "data:image/png;base64,AAAA": "its scheme is 'data'",
    "javascript:alert(1)": "its scheme is 'javascript'",
    "gopher://example.org/_GET": "its scheme is 'gopher'",
    "unix:/run/redis.sock": "its scheme is 'unix'",
    "https:": "it needs a host",
    "https:///me.jpg": "it needs a host",
    "https:example.org/me.jpg": "it needs a host",
    "https://:443/": "it needs a host",
    "https://?a": "it needs a host",
    "https://me:secret@example.org/": "no user",
    "https://me@example.org/": "no user",
    "https://@example.org/": "no user",
    "https://example.org@127.0.0.1/": "no user",
    "https://example.org:443@[::1]/": "no user",
    "https://example.org%40127.0.0.1/": "cannot be a host's name",
    "https://example.org\\@127.0.0.1/": "backslashes",
    "https://127.0.0.1\\.example.org/": "backslashes",
    "https:\\\\example.org/": "backslashes",
    "https://example.org/a b.jpg": "without spaces",
    " https://example.org/": "without spaces",
    "https://example.org/\n": "printable ASCII",
    "https://exa\tmple.org/": "printable ASCII",
    "https://example.org/\r\nHost: evil": "printable ASCII",
    "https://example.org/\0": "printable ASCII",
    "https://example.org\0.evil.example/": "printable ASCII",
    "https://example.org/\x7f": "printable ASCII",
    "https://bücher.example/": "printable ASCII",
    "https://ｅxample.org/": "printable ASCII",
    "https://127。0。0。1/": "printable ASCII",
    "https://①②⑦.0.0.1/": "printable ASCII",
    "https://example.org/\ud800": "printable ASCII",
    "https://example.org/#face": "fragment",
    "https://example.org/#": "fragment",
    "https://example.org#@127.0.0.1/": "fragment",
    "https://example.org:0/": "port 0",
    "https://example.org:99999/": "Port out of range",
    "https://example.org:-1/": "Port could not be cast",
    "https://example.org:80:80/": "Port could not be cast",
    "https://example.org:https/": "Port could not be cast",
    "https://[::1/": "Invalid IPv6 URL",
    "https://[example.org]/": "does not appear to be an IPv4 or IPv6 address",
    "https://[127.0.0.1]/": "IPv4 address cannot be in brackets",
    "https://a..b/": "cannot be a host's name",
    "https://.example.org/": "cannot be a host's name",
    "https://example.org./": "cannot be a host's name",
    "https://-example.org/": "cannot be a host's name",
    "https://*.example.org/": "cannot be a host's name",
    "https://%31%32%37.0.0.1/": "cannot be a host's name",
    f"https://{'a' * 64}.example/": "cannot be a host's name",
    f"https://example.org/{'a' * 2029}": "2049 characters, of which 2048 are allowed",
    f"https://example.org/{'a' * 1_000_000}": "of which 2048 are allowed",
    "https://127.0.0.1/": "127.0.0.1 is not a public address",
    "https://10.0.0.1:8443/": "10.0.0.1 is not a public address",
    "https://169.254.169.254/latest/meta-data/": "169.254.169.254 is not a public address",
    "https://192.168.1.1/": "192.168.1.1 is not a public address",
    "https://0.0.0.0/": "0.0.0.0 is not a public address",
    "https://255.255.255.255/": "255.255.255.255 is not a public address",
    "https://[::1]/": "::1 is not a public address",
    "https://[::]/": ":: is not a public address",
    "https://[::ffff:10.0.0.1]/": "::ffff:10.0.0.1 is not a public address",
    "https://[::ffff:7f00:1]/": "::ffff:7f00:1 is not a public address",
    "https://[64:ff9b::10.0.0.1]/": "64:ff9b::10.0.0.1 is not a public address",
    "https://[64:ff9b::a9fe:a9fe]/": "64:ff9b::a9fe:a9fe is not a public address",
    "https://[2002:7f00:1::]/": "2002:7f00:1:: is not a public address",
    "https://[fe80::1%25eth0]/": "is not a public address",
    "https://[fd00::1]/": "fd00::1 is not a public address",
    "https://2130706433/": "cannot be a host's name",
    "https://0177.0.0.1/": "cannot be a host's name",
    "https://0x7f000001/": "cannot be a host's name",
    "https://0x7f.0.0.0x1/": "cannot be a host's name",
    "https://127.1/": "cannot be a host's name",
    "https://127.0.0.1.0/": "cannot be a host's name",
    "https://0/": "cannot be a host's name",
}


@pytest.mark.parametrize("address", GOOD)
def test_a_good_address_is_taken_as_it_is(address: str) -> None:
    assert checked_address("portrait", address, private=False) == address


@pytest.mark.parametrize(("address", "why"), REFUSED.items())
def test_a_bad_address_is_refused(address: str, why: str) -> None:
    with pytest.raises(ProblemError) as refusal:
        checked_address("portrait", address, private=False)
    assert refusal.value.problem_type is ProblemType.INVALID_ADDRESS
    assert refusal.value.detail.startswith(f"portrait is {address[:200]!r}: ")
    assert why in refusal.value.detail
    assert (refusal.value.got, refusal.value.allowed) == (address, "an https URL of a public address")


@pytest.mark.parametrize("address", ["http://example.org/", "http://127.0.0.1:8080/", "https://[::1]/"])
def test_private_addresses_and_plain_http_can_be_allowed(address: str) -> None:
    assert checked_address("audio", address, private=True) == address


@pytest.mark.parametrize("address", ["file:///etc/passwd", "http://me@127.0.0.1/", "http://127.1/", "http://a/#b"])
def test_all_else_stays_refused(address: str) -> None:
    with pytest.raises(ProblemError, match=r"audio is .*; allowed is an http or https URL"):
        checked_address("audio", address, private=True)
