import torch

from model.data.speech_windows import Windows


def test_short_clips_are_drawn_apart_from_long_ones() -> None:
    torch.manual_seed(0)
    lengths = [30, 25, 90, 200]
    drawn = [Windows.draw_alike(lengths, torch.ones(4), total=160, frames=80, short=40) for _ in range(40)]
    kinds = {(windows.frames, len(windows.clips), frozenset(windows.clips) <= {0, 1}) for windows in drawn}
    assert kinds == {(40, 4, True), (80, 2, False)}
    assert all(
        first + 80 <= lengths[i] for w in drawn if w.frames == 80 for i, first in zip(w.clips, w.firsts, strict=True)
    )


def test_margins_and_more_rows_begin_earlier_and_end_later() -> None:
    windows = Windows([0], [3], 2)
    sequence = torch.arange(40.0)[:, None]
    assert windows.cut([sequence], rate=4, margin=1, more=2)[0, :, 0].tolist() == list(range(6, 26))
    assert windows.cut([sequence[:20]], rate=4, margin=1, more=2)[0, :, 0].tolist() == [*range(6, 20), *[0] * 6]
