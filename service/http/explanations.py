"""What each type of problem means and what to do about it: for its page, and for docs/problems.md."""

import textwrap
from typing import NamedTuple

from jobs.problems import ProblemType


class Explanation(NamedTuple):
    """What a problem means and what to do about it. Code stands in backticks."""

    meaning: str
    remedy: str


EXPLANATIONS = {
    "bad-request": Explanation(
        "What was sent is damaged or not in the form that it has to have, so nothing of it was read: JSON that is "
        "none, a form that ends too early, a cursor that is not ours.",
        "Mend the place that the detail names and send it again. A request that is sent unchanged is refused again.",
    ),
    "unauthorized": Explanation(
        "The service needs an API key; none was sent, or one that it does not know (any more).",
        "Send a key as `Authorization: Bearer KEY` or `X-API-Key: KEY`. Whoever runs the service makes keys.",
    ),
    "forbidden": Explanation(
        "The key lacks the scope that this call needs, or the request makes more jobs at once than the key, or all "
        "keys of its owner, may ever make in a time. Where the service runs without keys: the request came under a "
        "name, or from a page, that is not its own.",
        "Use a key with the scope that `allowed` names, or with a larger quota, or send fewer motions at once. Without "
        "keys, ask under one of the names that `allowed` lists.",
    ),
    "not-found": Explanation(
        "There is nothing at this address that is yours: no such call, no job, portrait or segment with this id, or"
        " one that another owner made or that was deleted.",
        "Look at the address. `GET /v1/jobs` and `GET /v1/portraits` list what is there.",
    ),
    "method-not-allowed": Explanation(
        "The address is right, the method is not.",
        "Use one of the methods that the header `Allow` lists.",
    ),
    "too-slow": Explanation(
        "The request did not arrive as a whole in the time that it may take, or nothing came in a live session for so "
        "long that it ended.",
        "Send it again on a better line, or send less: a portrait of fewer pixels, a shorter video. Whoever runs "
        "the service sets the time.",
    ),
    "idempotency-in-flight": Explanation(
        "A request with this `Idempotency-Key` is being answered just now.",
        "Wait as long as `Retry-After` says and send the same request again: it gets the answer of the first.",
    ),
    "idempotency-mismatch": Explanation(
        "This `Idempotency-Key` came with another request before, and a key stands for one request alone.",
        "Use a new key for a new job. To repeat a request, send exactly what was sent before.",
    ),
    "too-large": Explanation(
        "The request, or one of its files, has more bytes than it may have.",
        "Send less than `allowed` says: a stronger compression, a smaller picture, a shorter recording.",
    ),
    "unsupported-media": Explanation(
        "A file is of a kind that is not read here, whatever its name says, or the request itself has another "
        "content type than the call takes.",
        "Convert the file to one of the kinds that `allowed` lists.",
    ),
    "range-not-satisfiable": Explanation(
        "The header `Range` asks for bytes that the file does not have.",
        "Ask for a range within the size that the header `Content-Range` tells, or for the whole file.",
    ),
    "invalid-request": Explanation(
        "A field or a parameter is missing, is not known, came twice or has a value that it may not have.",
        "Mend what `errors` or the detail names. `/openapi.json` describes all fields and parameters.",
    ),
    "invalid-address": Explanation(
        "An input was given by its address, and it is none that may be fetched: not https, or not on the public "
        "internet.",
        "Give an https address of a public host, or send the file itself.",
    ),
    "fetch-failed": Explanation(
        "An input was given by its address, and its server did not answer, answered with an error, or was too slow.",
        "Check that everybody can fetch the address, without a cookie or a key, and send the request again; or send"
        " the file itself.",
    ),
    "no-such-portrait": Explanation(
        "The request names a kept portrait that is not there: it has expired, was deleted, or is another owner's.",
        "Upload the photo to `/v1/portraits` again, and use the id in the answer.",
    ),
    "invalid-motion": Explanation(
        "The motion cannot be rendered: a control that does not exist, a value beyond its range, vectors of the "
        "wrong length, times out of order, or a motion that stands still where a video is asked for.",
        "Mend what the detail names. `GET /v1/controls` lists the controls and their ranges.",
    ),
    "wrong-motion-space": Explanation(
        "The motion is written in a motion space that the installed renderer does not speak.",
        "Use one of the spaces in `allowed`, and extract motions anew that an earlier model read.",
    ),
    "invalid-options": Explanation(
        "An option is not known for this kind of job, or has a value that it may not have.",
        "Mend the option that the detail names; its bounds stand in `/openapi.json`.",
    ),
    "invalid-webhook": Explanation(
        "The field `webhook` is not as it must be, or its address is none that messages may be sent to.",
        "Give an https address of a public host, and events out of those that there are.",
    ),
    "too-many-requests": Explanation(
        "The key has made as many requests, or jobs, as it may in a time, or its owner has as much under way or "
        "waiting as one owner may.",
        "Wait as long as `Retry-After` says. `RateLimit` tells in every answer how much is left.",
    ),
    "unreadable-media": Explanation(
        "The file is of a kind that is read here, but it is empty, damaged, cut off or encoded in a way that cannot"
        " be decoded.",
        "Open it in a player to see whether it is whole, and export it again.",
    ),
    "too-costly": Explanation(
        "Decoding the file took more memory or time than decoding may; ordinary files take far less.",
        "Export the file anew with common settings: fewer pixels, a usual codec.",
    ),
    "too-many-pixels": Explanation(
        "The picture, or the video's frames, have more pixels than is allowed.",
        "Make it smaller before it is sent. Faces need a few hundred pixels.",
    ),
    "no-face": Explanation(
        "No face was found in the portrait, the driving image or the video.",
        "Use a picture of one person, whole face, well lit, from the front or turned a little. Small faces may be "
        "cropped out first.",
    ),
    "no-such-face": Explanation(
        "The option `face` or `driving_face` counts further than there are faces.",
        "Use an index below the number of faces that the detail tells; the first has 0.",
    ),
    "silent-audio": Explanation(
        "The sound has nothing in it that a face could say: it is silent, much too short, or has no usable samples.",
        "Check that the file has the speech in it, loud enough, and that a video has a sound track.",
    ),
    "audio-too-long": Explanation(
        "The sound is longer than is allowed.",
        "Cut it into pieces that are short enough, and make a job of each.",
    ),
    "video-too-long": Explanation(
        "The video is longer than is allowed.",
        "Cut it into pieces that are short enough, and make a job of each.",
    ),
    "job-not-finished": Explanation(
        "The job waits or runs, so it does not have yet what was asked for, or cannot be run again.",
        "Ask again after `Retry-After`, follow `urls.events`, or create jobs with `Prefer: wait=30`.",
    ),
    "job-finished": Explanation(
        "The job has ended before, so it cannot be canceled.",
        "Nothing needs to be done. `GET /v1/jobs/{id}` tells how it ended.",
    ),
    "job-canceled": Explanation(
        "The job was canceled, so there is no result.",
        "Run it again with `POST /v1/jobs/{id}/rerun` while its files are kept, or create a new one.",
    ),
    "job-expired": Explanation(
        "The job ended some time ago, and its files have been removed, as they are after a time.",
        "Create the job again, and fetch results before `expires_at`.",
    ),
    "worker-lost": Explanation(
        "Each time that the job was tried, the worker process died that had it; or several died in one live "
        "session, soon after each other.",
        "Try another file or a smaller size. Whoever runs the service finds the reason in the worker's log.",
    ),
    "out-of-memory": Explanation(
        "The worker had too little memory for this job.",
        "Ask for less: a smaller `size`, a shorter video, fewer motions. Or run it again when less is going on.",
    ),
    "deadline-missed": Explanation(
        "The job had a `deadline` and did not begin in that time, so it was not done at all.",
        "Create it again with more time, or when fewer jobs wait: `estimated_wait_s` of a waiting job tells the pace.",
    ),
    "timed-out": Explanation(
        "The job ran longer than any job may.",
        "Ask for less: a shorter video, a smaller `size`.",
    ),
    "internal": Explanation(
        "The service met something that it was not made for. It is logged, with the id in `X-Request-ID`.",
        "Try again once. If it stays so, tell whoever runs the service, with that id.",
    ),
    "no-model": Explanation(
        "The service runs without a model that this kind of job needs.",
        "Whoever runs the service has to install it; `GET /v1/models` lists those that are there.",
    ),
    "no-speech": Explanation(
        "The request asks for text to be spoken, and this service has nothing that speaks.",
        "Send the speech as `audio`. Whoever runs the service can connect a speech server or install espeak-ng.",
    ),
    "speech-failed": Explanation(
        "What speaks the text did not do so in time, or not with a sound: a speech server that does not answer, for "
        "instance.",
        "Send the request again after `Retry-After`, or send the speech as `audio`.",
    ),
    "queue-full": Explanation(
        "As many jobs of this kind wait as the queue holds, or its last places are kept for owners of whom no job "
        "waits.",
        "Send the request again after `Retry-After`.",
    ),
    "live-unavailable": Explanation(
        "A live session keeps a worker, and none is free for one: as many are in sessions as may be, or those that run "
        "have jobs to do, or none runs. The detail says how many.",
        "Try again in a minute. Whoever runs the service decides how many workers there are, and how many of them may "
        "be in live sessions.",
    ),
    "unavailable": Explanation(
        "A part of the service does not answer just now, its store of jobs for instance, or it has as many "
        "connections as it can have.",
        "Send the request again after `Retry-After`; with an `Idempotency-Key` that never makes a second job.",
    ),
    "storage-used": Explanation(
        "All files, or records of jobs, of this owner together take as much room as one owner may have.",
        "Delete jobs and portraits that are no longer needed, or wait until they expire.",
    ),
    "storage-full": Explanation(
        "The service has no room left for the upload or the result.",
        "Try again later. Whoever runs the service has to make room.",
    ),
}
"""By the types' slugs."""


def markdown() -> str:
    """The page docs/problems.md."""
    parts = [
        "# Problems",
        "Every error is a problem object (RFC 9457). The last part of its `type` says which of these it is, "
        "and the whole of it leads to the same text. `python -m service.http.explanations` makes this page.",
    ]
    for each in ProblemType:
        meaning, remedy = EXPLANATIONS[each.slug]
        parts += [f"## {each.slug}", f"{each.status}, *{each.title}.* {meaning} {remedy}"]
    return (
        "\n\n".join(textwrap.fill(part, 120, break_on_hyphens=False, break_long_words=False) for part in parts) + "\n"
    )


if __name__ == "__main__":
    print(markdown(), end="")  # noqa: T201
