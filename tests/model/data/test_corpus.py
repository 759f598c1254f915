from pathlib import Path

import pytest

from model.data.corpus import read_corpus
from model.data.speech_clips import read_clips
from model.errors import DataError

COLUMNS = "id,split,speaker,frames,seconds,face_px,lag,sync,source,repo,commit,path,licence"
ROW = "a,train,,50,2,100,1,0.5,words,r,c,p,l"


@pytest.mark.parametrize(
    ("column", "bad", "told"),
    [
        ("lag", "soon", "line 2: lag is 'soon'; a whole number is allowed"),
        ("frames", "1.5", "line 2: frames is '1.5'"),
        ("face_px", "x", "line 2: face_px is 'x'"),
        ("sync", "nan", "line 2: sync is 'nan'; a number is allowed"),
        ("sync", "good", "line 2: sync is 'good'"),
    ],
)
def test_a_value_that_is_none_is_named_with_its_line(tmp_path: Path, column: str, bad: str, told: str) -> None:
    values = dict(zip(COLUMNS.split(","), ROW.split(","), strict=True)) | {column: bad}
    (tmp_path / "index.csv").write_text(f"{COLUMNS}\n{','.join(values.values())}\n")
    with pytest.raises(DataError, match=told):
        read_corpus(tmp_path)


@pytest.mark.parametrize("missing", ["id", "split", "speaker", "frames", "face_px", "lag", "sync", "source", "licence"])
def test_a_column_that_is_missing_is_named(tmp_path: Path, missing: str) -> None:
    values = dict(zip(COLUMNS.split(","), ROW.split(","), strict=True))
    del values[missing]
    (tmp_path / "index.csv").write_text(f"{','.join(values)}\n{','.join(values.values())}\n")
    with pytest.raises(DataError, match=f"no column '{missing}'"):
        read_corpus(tmp_path)


def test_sound_that_cannot_be_read_is_named(speech_folder: Path, tmp_path: Path) -> None:
    for file in speech_folder.rglob("*.*"):
        copy = tmp_path / file.relative_to(speech_folder)
        copy.parent.mkdir(exist_ok=True)
        copy.write_bytes(file.read_bytes())
    (tmp_path / "clips" / "clip1.ogg").write_bytes(bytes(range(256)) * 2)
    with pytest.raises(DataError, match=r"clip1\.ogg is no sound that can be read"):
        read_clips([tmp_path], "train")
