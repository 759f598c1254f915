"""What came of the work, and what was not to come of it."""

import json
import re
import traceback
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx

REQUESTS = re.compile(r'pirenderer_http_requests_total\{method="(\w+)",route="([^"]*)",status="(\d+)"\} (\S+)')
MOST_DETAILS = 200
QUIET = ("debug", "info", "warning")


@dataclass
class Tally:
    """Pieces of work by kind, ends of jobs by what they were, and what was unexpected."""

    pieces: Counter[str] = field(default_factory=Counter)
    ends: Counter[str] = field(default_factory=Counter)
    answers: Counter[str] = field(default_factory=Counter)
    warnings: Counter[str] = field(default_factory=Counter)
    unexpected: list[dict[str, Any]] = field(default_factory=list)
    seconds: defaultdict[str, float] = field(default_factory=lambda: defaultdict(float))
    _read: int = 0

    def strange(self, what: str, **details: Any) -> None:
        """Note what was not to happen."""
        if len(self.unexpected) < MOST_DETAILS:
            self.unexpected.append({"at": f"{datetime.now(UTC):%H:%M:%S}", "what": what, **details})

    def raised(self, piece: str, error: BaseException) -> None:
        """Note that a piece of work did not go as it was to."""
        details = {"type": type(error).__name__, "text": str(error)[:500], "traceback": traceback.format_exc()[-1500:]}
        self.strange(f"{piece} raised", **details)

    def ended(self, piece: str, job: dict[str, Any], *, expected: Iterable[str] = ("succeeded",)) -> None:
        """Note how a job ended: its status, of a failed one its problem."""
        problem = (job.get("error") or {}).get("type", "").rpartition("/")[2]
        end = problem or job["status"]
        self.ends[f"{job['kind']}: {end}"] += 1
        if end not in expected:
            self.strange(f"{piece}: a job ended as {end}", job=job["id"], error=job.get("error"))

    def answered(self, piece: str, response: httpx.Response, *expected: int) -> None:
        """Note an answer that was not to be."""
        if response.status_code not in expected:
            asked = f"{response.request.method} {response.request.url}"
            self.strange(f"{piece}: answer {response.status_code}", asked=asked, text=response.text[:500])

    def read_metrics(self, text: str) -> None:
        """Take how often each status was answered from the service's own count."""
        self.answers.clear()
        for _, route, status, count in REQUESTS.findall(text):
            self.answers[status] += int(float(count))
            if int(status) >= 500:
                self.answers[f"{status} {route}"] += int(float(count))

    def read_log(self, path: Path) -> None:
        """Look at what the service has logged since this was last done."""
        with path.open("rb") as file:
            file.seek(self._read)
            text = file.read()
        whole = text[: text.rfind(b"\n") + 1]
        self._read += len(whole)
        for line in whole.decode("utf-8", "replace").splitlines():
            try:
                said = json.loads(line)
                level, event = said["level"], str(said["event"])
            except (ValueError, KeyError, TypeError):
                if "Traceback" in line or "Error" in line:
                    self.strange("the log says what is no line of ours", line=line[:500])
                continue
            if level == "warning":
                self.warnings[event[:100]] += 1
            if level not in QUIET or "exception" in said:
                self.strange("the log tells of an error", **{name: str(value)[:2000] for name, value in said.items()})
