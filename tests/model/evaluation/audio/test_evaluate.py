"""Figures are told by source, of clips whose lips are driven by their sound."""

import json
import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from model.audio.speech_to_motion import SpeechToMotion
from model.data.speech_clips import read_clips
from model.errors import DataError
from model.evaluation.audio.evaluate import Judged, figures, groups, judged
from model.evaluation.audio.likelihood import other_people
from model.evaluation.audio.nll import clip_nll
from model.evaluation.audio.report import TABLES, as_text
from model.evaluation.audio.synchrony import Made, best_lags, lip_figures, mean_rows
from model.morphable import MorphableModel
from model.training.audio.release import rounded


@pytest.fixture(scope="module")
def speaker() -> SpeechToMotion:
    return SpeechToMotion.load()


@pytest.fixture(scope="module")
def found(speaker: SpeechToMotion, speech_corpus: Path, speech_folder: Path) -> Judged:
    return judged(speaker.network, read_clips([speech_corpus, speech_folder], "val"))


@pytest.fixture(scope="module")
def told(speaker: SpeechToMotion, found: Judged) -> dict[str, Any]:
    return dict(figures(speaker.network, found))


@pytest.mark.slow
def test_figures_are_told_in_all_and_by_source(told: dict[str, Any], speech_corpus: Path) -> None:
    sources = told["by_source"]
    assert list(sources) == [speech_corpus.name, "words", "wild"]
    assert [sources[name]["clips"] for name in sources] == [2, 1, 1]
    assert (told["clips"], told["people"]) == (3, 3)
    assert sources["words"] == sources["wild"]
    for figure in ("opening_correlation", "width_correlation", "protrusion_correlation", "mouth_distance_px"):
        for part, value in told[figure].items():
            corpus, words = (sources[name][figure][part] for name in (speech_corpus.name, "words"))
            assert value == pytest.approx((2 * corpus + words) / 3)


@pytest.mark.slow
def test_lips_driven_by_the_sound_agree_with_its_loudness_whatever_their_source_s_delay(
    told: dict[str, Any],
) -> None:
    for source in told["by_source"].values():
        assert source["opening_correlation"]["loudness"] > 0.7
        assert abs(source["opening_best_lag_frames"]["loudness"]) <= 1


@pytest.mark.slow
def test_figures_are_finite_numbers_that_a_card_can_hold(told: dict[str, Any]) -> None:
    def numbers(table: dict[str, Any]) -> Iterator[float]:
        for value in table.values():
            yield from numbers(value) if isinstance(value, dict) else [value]

    assert all(math.isfinite(number) for number in numbers(told))
    card = json.loads(json.dumps(rounded(told)))
    value = told["by_source"]["words"]["opening_correlation"]["take"]
    assert card["by_source"]["words"]["opening_correlation"]["take"] == round(value, 4)


@pytest.mark.slow
def test_the_text_has_every_source_s_figures(told: dict[str, Any], speech_corpus: Path) -> None:
    lines = as_text({**told, "closures": {"not_measured": "a library is missing"}}).splitlines()
    rows = [line.split() for line in lines if line.startswith("words")]
    assert len(rows) == len([line for line in lines if line.startswith(f"{speech_corpus.name} ")]) == len(TABLES)
    wanted = told["by_source"]["words"]["opening_correlation"]
    assert [f"{wanted[name]:.3f}" for name in ("take", "mean_of_takes", "regressor", "loudness")] == rows[1][1:5]
    assert any(line.startswith("head_jerk_degrees") for line in lines)
    assert lines[-1].split(maxsplit=1) == ["closures", "a library is missing"]
    assert max(map(len, lines)) <= 120


def test_a_deeper_figure_is_a_table_of_its_own() -> None:
    text = as_text({"clips": 2.0, "closures": {"p": {"rank": 0.25, "sounds": 8.0}, "m": {"rank": 0.5, "sounds": 9.0}}})
    assert [line.split() for line in text.splitlines()[-4:]] == [
        ["closures"],
        ["rank", "sounds"],
        ["p", "0.250", "8"],
        ["m", "0.500", "9"],
    ]


def test_a_take_that_comes_late_is_told_by_its_best_lag(
    speaker: SpeechToMotion, speech_corpus: Path, morphable: MorphableModel
) -> None:
    rows = []
    for clip in read_clips([speech_corpus], "val"):
        code = speaker.network.code.raw_expression(clip)
        late = torch.cat([code[:1].expand(3, -1), code[:-3]])
        rows.append(lip_figures(speaker.network, morphable, clip, Made(late[None], torch.zeros(1, len(code), 6), code)))
    means = mean_rows(rows)
    assert (best_lags(means)["take"], best_lags(means)["regressor"]) == (3, 0)
    for shape in ("opening", "width", "protrusion"):
        assert means[f"{shape}_correlation"]["regressor"] > 0.9
        assert means[f"{shape}_correlation"]["take"] < 0.5
    distances = means["mouth_distance_px"]
    assert distances["regressor"] < 0.3 * distances["still"]
    assert distances["take"] > 2 * distances["regressor"]


def test_what_no_studio_recorded_is_one_group(speech_corpus: Path, speech_folder: Path) -> None:
    corpus, words = (read_clips([folder], "val")[0] for folder in (speech_corpus, speech_folder))
    names = ("LRS3", "GRID", "LRW-AR (Arabic news words)", "LRS2", "LRS3")
    clips = [*(replace(words, source=name) for name in names), corpus]
    assert groups(clips) == {
        speech_corpus.name: [5],
        "GRID": [1],
        "LRS2": [3],
        "LRS3": [0, 4],
        "LRW-AR (Arabic news words)": [2],
        "wild": [0, 3, 4],
    }
    assert list(groups([corpus])) == [speech_corpus.name]


def test_a_clip_s_sound_is_set_against_that_of_other_people_of_its_own_source_first(speech_corpus: Path) -> None:
    clip = read_clips([speech_corpus], "val")[0]
    made_up = [("a", 0), ("b", 3), ("a", 1), ("a", 1), ("b", 4)]
    clips = [replace(clip, source=source, person=f"p{person}") for source, person in made_up]
    assert other_people(clips) == [[2, 3, 1], [4, 2, 3], [0, 4, 1], [0, 4, 1], [1, 0, 2]]
    with pytest.raises(DataError, match="all 2 clips are of 'p1'"):
        other_people(clips[2:4])


def test_a_clip_is_as_likely_whatever_it_is_computed_with(speaker: SpeechToMotion) -> None:
    network, generator = speaker.network, torch.Generator().manual_seed(0)
    e = network.config.components
    lengths = (40, 25, 90)
    codes = [torch.randn(length, e + 6, generator=generator) for length in lengths]
    tracks = [torch.randn(length, e + 16, generator=generator) for length in lengths]
    together = clip_nll(network.flows, tracks, codes)
    alone = [clip_nll(network.flows, [track], [code])[0] for track, code in zip(tracks, codes, strict=True)]
    torch.testing.assert_close(together, torch.stack(alone))
