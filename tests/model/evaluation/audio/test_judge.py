from dataclasses import replace
from pathlib import Path

import pytest
import torch

from model.audio.clip import SpeechClip
from model.audio.features import MELS, SUBFRAMES
from model.data.speech_clips import read_clips
from model.errors import DataError
from model.evaluation.audio.judge import MOST_OFFSET, OFFSETS, Agreement, Judge, JudgeNetwork, by_offset, lip_basis
from model.evaluation.audio.lip_sync import accuracy_figures, other_sounds
from model.face.topology import MOUTH
from model.morphable import MorphableModel
from model.morphable.basis import EXPRESSION
from tests.support.paths import ROOT

SHARED = [ROOT.parent / "shared" / name for name in ("corpus", "speech")]


@pytest.fixture(scope="module")
def judge() -> Judge:
    return Judge.load()


@pytest.fixture(scope="module")
def clips(speech_corpus: Path) -> list[SpeechClip]:
    return read_clips([speech_corpus], "train")


class Ruler(JudgeNetwork):
    """Tells lips and sound by a number that stands in both: what any network that works would find."""

    def __init__(self, judge: Judge) -> None:
        super().__init__(judge.network.config)

    def shown(self, expressions: torch.Tensor) -> torch.Tensor:
        return expressions

    def forward(self, shown: torch.Tensor, mel: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        number = torch.arange(200.0)
        seen, heard = shown[..., 0], mel[:, ::SUBFRAMES, 0]
        return (seen[..., None] == number).float(), (heard[..., None] == number).float()


@pytest.mark.parametrize("lag", [-15, -7, 0, 1, 12])
def test_a_sound_that_comes_late_is_found_at_that_offset(judge: Judge, lag: int) -> None:
    frames = 60
    expressions = torch.zeros(1, frames, 64)
    expressions[..., 0] = torch.arange(20, 20 + frames)
    mel = torch.zeros(SUBFRAMES * frames, MELS)
    mel[:, 0] = torch.arange(20 - lag, 20 - lag + frames).repeat_interleave(SUBFRAMES)
    found = Judge(Ruler(judge))(mel, expressions)
    assert int(found.offset) == lag
    assert float(found.confidence) == pytest.approx(1)
    assert float(found.at_zero) == (lag == 0)


@pytest.mark.slow
def test_both_sides_of_the_lips_are_shown_alike(morphable: MorphableModel) -> None:
    right, left = (MOUTH.index(corner) for corner in (61, 291))
    moved = torch.randn(50, 64, generator=torch.Generator().manual_seed(0)) @ lip_basis(morphable)
    points = moved.unflatten(1, (len(MOUTH), 2))
    torch.testing.assert_close(points[:, right], points[:, left] * torch.tensor([-1.0, 1.0]))
    assert points[:, right].std(dim=0).min() > 0.5


def test_offsets_with_too_little_in_common_are_not_looked_at() -> None:
    torch.manual_seed(0)
    alike, windows = torch.rand(2, 30, 30), torch.tensor([30, 9])
    means = by_offset(alike, windows)
    assert means[0].isfinite().sum() == 31
    assert [offset for offset, value in zip(OFFSETS, means[1], strict=True) if value.isfinite()] == [*range(-6, 7)]
    assert float(means[1, MOST_OFFSET + 2]) == pytest.approx(
        float(torch.stack([alike[1, t, t + 2] for t in range(7)]).mean())
    )
    torch.testing.assert_close(by_offset(alike[1:, :9, :9], windows[1:]), means[1:])


def test_confidence_is_the_best_over_the_median_of_what_was_looked_at() -> None:
    similarity = torch.full((1, 31), -torch.inf)
    similarity[0, 13:18] = torch.tensor([0.1, 0.2, 0.3, 0.9, 0.0])
    found = Agreement(similarity)
    assert (int(found.offset), float(found.confidence)) == (1, pytest.approx(0.7))


def test_neither_the_face_at_rest_nor_other_motions_count(judge: Judge, clips: list[SpeechClip]) -> None:
    clip = clips[0]
    lips = clip.motion[None, :, EXPRESSION]
    alone = judge(clip.mel, lips).similarity
    together = judge(clip.mel, torch.cat([lips + 1.5, lips * 0.5])).similarity
    torch.testing.assert_close(together[:1], alone, atol=1e-4, rtol=0)
    assert not torch.allclose(together[1:], alone, atol=1e-4)


@pytest.mark.parametrize(("rows", "frames"), [(40, 11), (44, 10), (40, 10)])
def test_what_is_not_of_one_length_or_too_short_is_refused(judge: Judge, rows: int, frames: int) -> None:
    with pytest.raises(DataError, match=f"{rows} rows of mel beside {frames} frames"):
        judge(torch.zeros(rows, MELS), torch.zeros(1, frames, 64))


def test_sounds_of_others_are_of_the_same_source_where_it_has_some(clips: list[SpeechClip]) -> None:
    several = [
        replace(clips[0], person=person, source=source)
        for person, source in [("a", "x"), ("a", "x"), ("b", "x"), ("c", "y"), ("c", "y")]
    ]
    assert other_sounds(several) == [[2], [2], [0, 1], [0, 1, 2], [0, 1, 2]]
    with pytest.raises(DataError, match="two people or more"):
        other_sounds(several[:2])


@pytest.mark.slow
@pytest.mark.skipif(not all(folder.is_dir() for folder in SHARED), reason="real people's speech is not here")
def test_real_people_are_found_in_sync(judge: Judge) -> None:
    clips = read_clips(SHARED, "val", at_most=12)
    figures = accuracy_figures(judge, [clip for clip in clips if clip.sync >= 0.15])["all, 2 s or more"]
    assert isinstance(figures, dict)
    assert figures["found"] > 0.6 > 3 * figures["found_by_chance"]
    assert figures["confidence_real"] > 1.3 * figures["confidence_shuffled"]
