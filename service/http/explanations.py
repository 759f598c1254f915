"""What each type of problem means and what to do about it: for its page, and for docs/problems.md."""

import textwrap
from typing import NamedTuple

from jobs.problems import ProblemType


class Explanation(NamedTuple):
    """What a problem means, what to do about it, and a detail that it may have. Code stands in backticks."""

    meaning: str
    remedy: str
    detail: str


EXPLANATIONS = {
    "bad-request": Explanation(
        "What was sent is damaged or not in the form that it has to have, so nothing of it was read: JSON that is "
        "none, a form that ends too early, a cursor that is not ours.",
        "Mend the place that the detail names and send it again. A request that is sent unchanged is refused again.",
        "motion: Invalid JSON: expected value at line 1 column 2",
    ),
    "unauthorized": Explanation(
        "The service needs an API key; none was sent, or one that it does not know (any more).",
        "Send a key as `Authorization: Bearer KEY` or `X-API-Key: KEY`. Whoever runs the service makes keys.",
        "no API key was sent; send one as Authorization: Bearer KEY or X-API-Key: KEY",
    ),
    "forbidden": Explanation(
        "The key lacks the scope that this call needs. Where the service runs without keys: the request came under "
        "a name, or from a page, that is not its own.",
        "Use a key with the scope that `allowed` names. Without keys, ask under one of the names that `allowed` lists.",
        "this needs a key with the scope write; this one has read",
    ),
    "not-found": Explanation(
        "There is nothing at this address that is yours: no such call, no job, portrait or segment with this id, or"
        " one that another owner made or that was deleted.",
        "Look at the address. `GET /v1/jobs` and `GET /v1/portraits` list what is there.",
        "there is no job '0a1b2c3d4e5f60718293a4b5c6d7e8f9'",
    ),
    "method-not-allowed": Explanation(
        "The address is right, the method is not.",
        "Use one of the methods that the header `Allow` lists.",
        "PUT is not offered at /v1/jobs",
    ),
    "too-slow": Explanation(
        "The request did not arrive as a whole in the time that it may take.",
        "Send it again on a better line, or send less: a portrait of fewer pixels, a shorter video. Whoever runs "
        "the service sets the time.",
        "the form was not complete after 300 s",
    ),
    "idempotency-in-flight": Explanation(
        "A request with this `Idempotency-Key` is being answered just now.",
        "Wait as long as `Retry-After` says and send the same request again: it gets the answer of the first.",
        "a request with Idempotency-Key 'order-17' is in progress",
    ),
    "idempotency-mismatch": Explanation(
        "This `Idempotency-Key` came with another request before, and a key stands for one request alone.",
        "Use a new key for a new job. To repeat a request, send exactly what was sent before.",
        "this Idempotency-Key was used with another request; use a new key for a new job",
    ),
    "too-large": Explanation(
        "The request, or one of its files, has more bytes than it may have.",
        "Send less than `allowed` says: a stronger compression, a smaller picture, a shorter recording.",
        "portrait is larger than the 20971520 bytes allowed",
    ),
    "unsupported-media": Explanation(
        "A file is of a kind that is not read here, whatever its name says, or the request itself has another "
        "content type than the call takes.",
        "Convert the file to one of the kinds that `allowed` lists.",
        "portrait looks like image/gif; allowed are image/jpeg, image/png, image/webp",
    ),
    "range-not-satisfiable": Explanation(
        "The header `Range` asks for bytes that the file does not have.",
        "Ask for a range within the size that the header `Content-Range` tells, or for the whole file.",
        "Range is bytes=9000000-; the file has 512000 bytes",
    ),
    "invalid-request": Explanation(
        "A field or a parameter is missing, is not known, came twice or has a value that it may not have.",
        "Mend what `errors` or the detail names. `/openapi.json` describes all fields and parameters.",
        "form field 'portrait' is missing",
    ),
    "invalid-address": Explanation(
        "An input was given by its address, and it is none that may be fetched: not https, or not on the public "
        "internet.",
        "Give an https address of a public host, or send the file itself.",
        "portrait is 'http://10.0.0.1/a.jpg': its scheme is 'http'; allowed is an https URL of a public address",
    ),
    "fetch-failed": Explanation(
        "An input was given by its address, and its server did not answer, answered with an error, or was too slow.",
        "Check that everybody can fetch the address, without a cookie or a key, and send the request again; or send"
        " the file itself.",
        "audio could not be fetched from https://media.example/speech.wav: it answered 404",
    ),
    "no-such-portrait": Explanation(
        "The request names a kept portrait that is not there: it has expired, was deleted, or is another owner's.",
        "Upload the photo to `/v1/portraits` again, and use the id in the answer.",
        "portrait_id is '5f0c9f7e3f5b4a6d8e1b2c3d4e5f6a7b'; there is no such portrait (any more), upload it again",
    ),
    "invalid-motion": Explanation(
        "The motion cannot be rendered: a control that does not exist, a value beyond its range, vectors of the "
        "wrong length, times out of order, or a motion that stands still where a video is asked for.",
        "Mend what the detail names. `GET /v1/controls` lists the controls and their ranges.",
        "motion.yaw is 90; allowed is -45 to 45 degrees",
    ),
    "wrong-motion-space": Explanation(
        "The motion is written in a motion space that the installed renderer does not speak.",
        "Use one of the spaces in `allowed`, and extract motions anew that an earlier model read.",
        "motion.space is 'other'; the installed renderer speaks open478",
    ),
    "invalid-options": Explanation(
        "An option is not known for this kind of job, or has a value that it may not have.",
        "Mend the option that the detail names; its bounds stand in `/openapi.json`.",
        "options.size: Input should be less than or equal to 2048, got 4096",
    ),
    "invalid-webhook": Explanation(
        "The field `webhook` is not as it must be, or its address is none that messages may be sent to.",
        "Give an https address of a public host, and events out of those that there are.",
        "webhook.url is 'http://a.example/': its scheme is 'http'; allowed is an https URL of a public address",
    ),
    "too-many-requests": Explanation(
        "The key has made as many requests, or jobs, as it may in a time, or its owner has as much under way or "
        "waiting as one owner may.",
        "Wait as long as `Retry-After` says. `RateLimit` tells in every answer how much is left.",
        "1 more is too many: this key allows 600 per 1 minute for requests; ask again in 3 s",
    ),
    "unreadable-media": Explanation(
        "The file is of a kind that is read here, but it is empty, damaged, cut off or encoded in a way that cannot"
        " be decoded.",
        "Open it in a player to see whether it is whole, and export it again.",
        "the portrait is a damaged or truncated JPEG file: image file is truncated",
    ),
    "too-costly": Explanation(
        "Decoding the file took more memory or time than decoding may; ordinary files take far less.",
        "Export the file anew with common settings: fewer pixels, a usual codec.",
        "decoding the portrait takes more than 512 MiB of memory",
    ),
    "too-many-pixels": Explanation(
        "The picture, or the video's frames, have more pixels than is allowed.",
        "Make it smaller before it is sent. Faces need a few hundred pixels.",
        "portrait has 12000 x 9000 = 108000000 pixels; allowed are 50000000",
    ),
    "no-face": Explanation(
        "No face was found in the portrait, the driving image or the video.",
        "Use a picture of one person, whole face, well lit, from the front or turned a little. Small faces may be "
        "cropped out first.",
        "no face was found in the portrait of 400 x 300 pixels; looked for whole faces at least 40 pixels high",
    ),
    "several-faces": Explanation(
        "The picture shows several faces of like size, and the request does not say which one is meant.",
        "Set the option `face` (or `driving_face`) to an index; the largest face has 0. Or crop the picture.",
        "the portrait shows 3 faces; choose one with options.face",
    ),
    "no-such-face": Explanation(
        "The option `face` or `driving_face` counts further than there are faces.",
        "Use an index below the number of faces that the detail tells; the first has 0.",
        "face 2 was asked for, but the portrait has 1; allowed are 0 to 0",
    ),
    "silent-audio": Explanation(
        "The sound has nothing in it that a face could say: it is silent, much too short, or has no usable samples.",
        "Check that the file has the speech in it, loud enough, and that a video has a sound track.",
        "the audio is silent: its peak is -93 dBFS, -60 is the least",
    ),
    "audio-too-long": Explanation(
        "The sound is longer than is allowed.",
        "Cut it into pieces that are short enough, and make a job of each.",
        "the audio is 720.0 seconds long; at most 300 are allowed",
    ),
    "video-too-long": Explanation(
        "The video is longer than is allowed.",
        "Cut it into pieces that are short enough, and make a job of each.",
        "the driving video is 720.0 seconds long; at most 120 are allowed",
    ),
    "job-not-finished": Explanation(
        "The job waits or runs, so it does not have yet what was asked for.",
        "Ask again after `Retry-After`, follow `urls.events`, or create jobs with `Prefer: wait=30`.",
        "job 0a1b2c3d4e5f60718293a4b5c6d7e8f9 is running; its result comes when it has succeeded",
    ),
    "job-finished": Explanation(
        "The job has ended before, so it can neither be canceled nor, if it succeeded, run again.",
        "Nothing needs to be done. `GET /v1/jobs/{id}` tells how it ended.",
        "job 0a1b2c3d4e5f60718293a4b5c6d7e8f9 has succeeded and cannot be canceled",
    ),
    "job-canceled": Explanation(
        "The job was canceled, so there is no result.",
        "Run it again with `POST /v1/jobs/{id}/rerun` while its files are kept, or create a new one.",
        "job 0a1b2c3d4e5f60718293a4b5c6d7e8f9 was canceled and has no result",
    ),
    "job-expired": Explanation(
        "The job ended some time ago, and its files have been removed, as they are after a time.",
        "Create the job again, and fetch results before `expires_at`.",
        "job 0a1b2c3d4e5f60718293a4b5c6d7e8f9 expired at 2026-03-02 12:00:01.400000+00:00",
    ),
    "worker-lost": Explanation(
        "Each time that the job was tried, the worker process died that had it.",
        "Try another file or a smaller size. Whoever runs the service finds the reason in the worker's log.",
        "given up after 3 attempts that each ended its worker",
    ),
    "out-of-memory": Explanation(
        "The worker had too little memory for this job.",
        "Ask for less: a smaller `size`, a shorter video, fewer motions. Or run it again when less is going on.",
        "the worker's memory did not suffice for this job; a smaller size or less may do",
    ),
    "deadline-missed": Explanation(
        "The job had a `deadline` and did not begin in that time, so it was not done at all.",
        "Create it again with more time, or when fewer jobs wait: `estimated_wait_s` of a waiting job tells the pace.",
        "the job did not begin within 60.0 s",
    ),
    "timed-out": Explanation(
        "The job ran longer than any job may.",
        "Ask for less: a shorter video, a smaller `size`.",
        "the job took longer than a job may; a shorter video may do",
    ),
    "internal": Explanation(
        "The service met something that it was not made for. It is logged, with the id in `X-Request-ID`.",
        "Try again once. If it stays so, tell whoever runs the service, with that id.",
        "an unexpected error; it has been logged",
    ),
    "no-model": Explanation(
        "The service runs without a model that this kind of job needs.",
        "Whoever runs the service has to install it; `GET /v1/models` lists those that are there.",
        "no audio model is installed",
    ),
    "no-speech": Explanation(
        "The request asks for text to be spoken, and this service has nothing that speaks.",
        "Send the speech as `audio`. Whoever runs the service can connect a speech server or install espeak-ng.",
        "text cannot be spoken here: there is neither a speech server nor espeak-ng",
    ),
    "speech-failed": Explanation(
        "The server that speaks the text did not answer, or not with a sound.",
        "Send the request again after `Retry-After`, or send the speech as `audio`.",
        "the speech server did not answer within 60 s",
    ),
    "queue-full": Explanation(
        "As many jobs of this kind wait as the queue holds, or its last places are kept for owners of whom no job "
        "waits.",
        "Send the request again after `Retry-After`.",
        "100 video jobs are waiting, which is all the queue holds",
    ),
    "unavailable": Explanation(
        "A part of the service does not answer just now, its store of jobs for instance, or it has as many "
        "connections as it can have.",
        "Send the request again after `Retry-After`; with an `Idempotency-Key` that never makes a second job.",
        "the job store does not answer",
    ),
    "storage-used": Explanation(
        "All files, or records of jobs, of this owner together take as much room as one owner may have.",
        "Delete jobs and portraits that are no longer needed, or wait until they expire.",
        "10737418240 bytes of files are kept for this owner, and no more than 10737418240 may be; delete jobs or "
        "portraits, or wait until they expire",
    ),
    "storage-full": Explanation(
        "The service has no room left for the upload or the result.",
        "Try again later. Whoever runs the service has to make room.",
        "the upload cannot be stored: No space left on device",
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
        meaning, remedy, _ = EXPLANATIONS[each.slug]
        parts += [f"## {each.slug}", f"{each.status}, *{each.title}.* {meaning} {remedy}"]
    return (
        "\n\n".join(textwrap.fill(part, 120, break_on_hyphens=False, break_long_words=False) for part in parts) + "\n"
    )


if __name__ == "__main__":
    print(markdown(), end="")  # noqa: T201
