from pathlib import Path

import numpy as np
import pytest
import torch

from model.audio.clip import smoothed
from model.data.corpus import read_corpus
from model.data.speech_clips import LidDirections, read_clips
from model.errors import DataError
from model.morphable import MorphableModel
from model.morphable.controls import Controls
from model.weights.files import read_card


def test_sound_and_motion_of_a_clip_share_a_clock(speech_corpus: Path) -> None:
    for clip in read_clips([speech_corpus], "train"):
        assert clip.mel.shape == (4 * clip.frames, 64)
        assert clip.motion.shape == (60, 70)
        energy = clip.mel.reshape(60, 4, 64).mean(dim=(1, 2)).numpy()
        lags = range(-3, 4)
        agreement = [np.corrcoef(np.roll(energy, lag)[5:-5], clip.opening.numpy()[5:-5])[0, 1] for lag in lags]
        assert abs(lags[int(np.argmax(agreement))]) <= 1
        assert max(agreement) > 0.8


def test_a_source_s_own_delay_is_taken_out(speech_folder: Path) -> None:
    for clip in read_clips([speech_folder], "train"):
        assert clip.frames == 58
        assert clip.mel.shape == (4 * 58, 64)
        energy = clip.mel.reshape(58, 4, 64).mean(dim=(1, 2)).numpy()
        lags = range(-3, 4)
        agreement = [np.corrcoef(np.roll(energy, lag)[5:-5], clip.opening.numpy()[5:-5])[0, 1] for lag in lags]
        assert abs(lags[int(np.argmax(agreement))]) <= 1


def test_clips_without_a_name_are_told_apart_by_their_faces(speech_corpus: Path, speech_folder: Path) -> None:
    clips = read_clips([speech_corpus, speech_folder], "train")
    named, unnamed = [clip.person for clip in clips[:6]], [clip.person for clip in clips[6:]]
    assert named == [f"p{number}" for number in range(6)]
    assert unnamed == ["words 0", "words 0", "words 1", "words 2"]


def test_a_short_clip_is_trusted_as_its_source_is(speech_corpus: Path, speech_folder: Path) -> None:
    clips = read_clips([speech_corpus, speech_folder], "train")
    assert [clip.sync for clip in clips if clip.source == "words"] == [pytest.approx(0.6)] * 4
    assert {clip.sync for clip in clips if clip.source == speech_corpus.name} == {0.9}


def test_a_folder_without_pictures_trains_no_renderer(speech_folder: Path) -> None:
    item = read_corpus(speech_folder)[0]
    with pytest.raises(DataError, match="sound and landmarks without pictures"):
        next(item.read_frames([0]))


def test_people_without_sound_are_no_clips(tmp_path: Path) -> None:
    header = "id,kind,split,person,frames,seconds,audio,generated,face_px,repo,commit,path,licence,sync\n"
    (tmp_path / "index.csv").write_text(header + "a,clip,train,p,50,2,0,0,200,r,c,p,l,\n")
    with pytest.raises(DataError, match="no train clip with sound"):
        read_clips([tmp_path], "train")


def test_blinks_are_taken_out_and_lips_are_left() -> None:
    model = MorphableModel.load()
    controls = Controls.load(model)
    lids = LidDirections.of(model, read_card("open478"))
    identity, rest = np.zeros(80, np.float32), np.zeros(70, np.float32)
    lips = np.stack([controls.apply(identity, rest, {"jaw_open": 0.5 + 0.4 * np.sin(t / 3)}) for t in range(60)])
    blinking = lips.copy()
    for t, amount in zip(range(30, 35), (0.4, 0.9, 1.0, 0.7, 0.3), strict=True):
        blinking[t] = controls.blink(identity, lips[t], amount)
    cleaned = lids.without_blinks(torch.from_numpy(blinking[:, :64]))
    before = np.abs(blinking[:, :64] - lips[:, :64]).max()
    assert np.abs(cleaned.numpy() - lips[:, :64]).max() < 0.05 * before


def test_smoothing_keeps_constants_and_damps_trembling() -> None:
    assert torch.allclose(smoothed(torch.full((30, 2), 3.0), 1.5), torch.full((30, 2), 3.0), atol=1e-5)
    trembling = torch.tensor([1.0, -1.0]).repeat(20)[:, None]
    assert smoothed(trembling, 1.5)[5:-5].abs().max() < 0.02
