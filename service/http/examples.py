"""Examples for the OpenAPI document: what can be sent as it stands, and what comes back."""

from typing import Any

PORTRAIT_ID = "5f0c9f7e3f5b4a6d8e1b2c3d4e5f6a7b"
JOB_ID = "0a1b2c3d4e5f60718293a4b5c6d7e8f9"
BASE = "https://portraits.example"

_TURN = {"space": "open478", "controls": {"yaw": 20, "smile": 0.6}, "relative": True}
_SWAY = {
    "space": "open478",
    "fps": 25,
    "keyframes": [{"t": 0, "controls": {"yaw": -15}}, {"t": 1.5, "controls": {"yaw": 15}}],
}
_PORTRAIT = {
    "id": PORTRAIT_ID,
    "media_type": "image/jpeg",
    "bytes": 61306,
    "sha256": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
    "width": 512,
    "height": 600,
    "created_at": "2026-03-01T12:00:00Z",
    "expires_at": "2026-03-02T12:00:00Z",
    "urls": {
        "self": f"{BASE}/v1/portraits/{PORTRAIT_ID}",
        "file": f"{BASE}/v1/portraits/{PORTRAIT_ID}/file",
    },
}
_QUEUED = {
    "id": JOB_ID,
    "kind": "image",
    "status": "queued",
    "created_at": "2026-03-01T12:00:00Z",
    "cancel_requested": False,
    "queue_position": 2,
    "estimated_wait_s": 0.8,
    "timings": {},
    "urls": {
        "self": f"{BASE}/v1/jobs/{JOB_ID}",
        "events": f"{BASE}/v1/jobs/{JOB_ID}/events",
        "cancel": f"{BASE}/v1/jobs/{JOB_ID}/cancel",
        "result": f"{BASE}/v1/jobs/{JOB_ID}/result",
    },
}
_SUCCEEDED = {
    **{name: value for name, value in _QUEUED.items() if name not in ("queue_position", "estimated_wait_s")},
    "status": "succeeded",
    "started_at": "2026-03-01T12:00:01Z",
    "finished_at": "2026-03-01T12:00:01.400000Z",
    "expires_at": "2026-03-02T12:00:01.400000Z",
    "timings": {"decode": 0.01, "face": 0.08, "render": 0.21, "paste": 0.02, "encode": 0.07},
    "result": {
        "media_type": "image/png",
        "bytes": 512000,
        "sha256": "60303ae22b998861bce3b28f33eec1be758a213c86c93c076dbe9f558c11c752",
        "width": 512,
        "height": 600,
    },
}
_ENDED = {
    "type": "job.succeeded",
    "timestamp": _SUCCEEDED["finished_at"],
    "data": _SUCCEEDED,
}

ANSWERS = {"job-queued": ("A job that waits", _QUEUED), "job-succeeded": ("A job that has ended", _SUCCEEDED)}
EVENTS = """\
id: 1772366401000-0
event: status
data: {"status": "running"}

id: 1772366401200-0
event: progress
data: {"stage": "render", "done": 8, "total": 25}

id: 1772366401400-0
event: status
data: {"status": "succeeded"}

"""

EXAMPLES: dict[str, list[dict[str, Any] | list[Any]]] = {
    "Motion": [_TURN, _SWAY],
    "Motions": [[_TURN, {"controls": {"jaw_open": 0.5}}]],
    "ImageOptions": [{"format": "jpeg", "size": 512}, {"driving_relative": True, "expression_scale": 0.8}],
    "VideoOptions": [{"seed": 7, "fps": 25}, {"driving_face": 1, "driving_relative": False, "pose_scale": 0.5}],
    "MotionOptions": [{"face": 0}, {"overlay": True}],
    "Webhook": [{"url": "https://example.org/hooks/portraits", "events": ["job.succeeded", "job.failed"]}],
    "Metadata": [{"order": "17", "shop": "example.org"}],
    "Job": [_QUEUED, _SUCCEEDED],
    "WebhookMessage": [_ENDED],
    "Portrait": [_PORTRAIT],
}

_ADDRESS = "https://example.org/me.jpg"
_SOUND = "data:audio/wav;base64,UklGRiQAAABXQVZFZm10IBAAAAABAAEAgD4AAAB9AAACABAAZGF0YQAAAAA="

REQUESTS: dict[str, dict[str, dict[str, Any]]] = {
    "portraits": {"by address": {"portrait": _ADDRESS}},
    "images": {
        "by controls": {"portrait": _ADDRESS, "motion": _TURN, "options": {"format": "jpeg", "size": 512}},
        "many": {"portrait": {"id": PORTRAIT_ID}, "motions": [_TURN, {"controls": {"jaw_open": 0.5}}]},
        "as another image": {"portrait": {"id": PORTRAIT_ID}, "driving": "https://example.org/laughing.jpg"},
    },
    "videos": {
        "speech": {"portrait": _ADDRESS, "audio": _SOUND, "options": {"seed": 7}, "metadata": {"order": "17"}},
        "text": {"portrait": {"id": PORTRAIT_ID}, "text": "Good morning!", "voice": "en"},
        "speech with a smile": {
            "portrait": _ADDRESS,
            "audio": "https://example.org/speech.mp3",
            "motion": {"controls": {"smile": 0.4}},
        },
        "keyframes": {"portrait": _ADDRESS, "motion": _SWAY},
        "as another video": {"portrait": _ADDRESS, "driving": "https://example.org/dance.mp4"},
    },
    "motions": {"of a video": {"source": "https://example.org/dance.mp4", "options": {"overlay": True}}},
}
"""Bodies of create calls in JSON, by the call and by what they are for."""
