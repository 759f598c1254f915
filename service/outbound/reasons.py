"""Why a request of ours got no answer, in words of ours: a library's may show what a server said, or where it is."""

import ssl

import httpcore

from service.outbound.guard import BlockedAddressError, UnknownHostError

# The first that fits an error, or what it came from
REASONS: tuple[tuple[type[Exception], str], ...] = (
    (BlockedAddressError, "it leads to an address that is not public"),
    (UnknownHostError, "its host is not known"),
    (ssl.SSLError, "its host does not speak TLS as it has to"),
    (httpcore.ConnectError, "no connection came about"),
    (httpcore.ProtocolError, "the answer is not proper HTTP, or breaks off"),
    (httpcore.NetworkError, "the connection broke off"),
    (OSError, "the connection broke off"),
    (Exception, "no answer came"),
)


def reason(error: Exception, *, late: str) -> str:
    """Why an address gave no answer, for who named it; `late` is what to say where one did not come in time."""
    origin = error.__context__  # httpcore cuts the cause off
    if isinstance(origin, ssl.SSLCertVerificationError):
        return f"its certificate is not valid ({origin.verify_message})"[:100]
    if isinstance(error, TimeoutError | httpcore.TimeoutException):
        return late
    return next(text for kind, text in REASONS if isinstance(error, kind) or isinstance(origin, kind))
