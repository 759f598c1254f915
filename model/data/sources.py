"""Opens the data that a renderer is trained on, whichever of the layouts a folder has."""

from collections.abc import Sequence
from pathlib import Path

from model.data.batch import PairSource
from model.data.lmdb_pairs import LmdbPairs, is_lmdb
from model.data.pairs import PairData
from model.errors import DataError


def open_pairs(
    data: Path,
    cache: Path,
    *,
    split: str,
    frames_per_clip: int,
    clips: Sequence[str] = (),
    warp_back: float = 0.0,
    augment: bool = True,
) -> PairSource:
    """One split (train or val) of a corpus folder, see `PairData`, or of the authors' layout, see `LmdbPairs`.

    Of the latter every frame is used as it is: `frames_per_clip` and `augment` count for corpora alone.

    Raises DataError: the folder is neither, has no such clips, or has no landmarks although `warp_back` needs them.
    """
    if not is_lmdb(data):
        return PairData(
            data, cache, split=split, frames_per_clip=frames_per_clip, clips=clips, warp_back=warp_back, augment=augment
        )
    if warp_back:
        raise DataError(f"warp_back is {warp_back}; allowed is 0 where the data is an LMDB, which has no landmarks")
    return LmdbPairs(data, split=split, clips=clips)
