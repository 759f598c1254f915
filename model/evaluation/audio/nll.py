"""The likelihood of whole clips under the flows."""

from collections.abc import Sequence

import torch
from torch import Tensor

from model.audio.network import Flows, about, begun, histories
from model.data.speech_windows import Windows

AT_ONCE = 16  # clips of alike lengths, so that little is computed beyond their ends


@torch.no_grad()
def clip_nll(flows: Flows, tracks: Sequence[Tensor], codes: Sequence[Tensor]) -> Tensor:
    """The mean NLL a frame, in nats, of expression and pose (clips, 2): tracks (T, S), codes (T, E + 6).

    A clip's residual of expression has no mean: what a face does in the mean while it speaks is not told by the sound.
    """
    flows.eval()
    found = torch.zeros(len(codes), 2)
    for numbers in torch.tensor([len(code) for code in codes]).argsort(stable=True).split(AT_ONCE):
        chosen = numbers.tolist()
        found[numbers] = _alike_nll(flows, [tracks[i] for i in chosen], [codes[i] for i in chosen])
    return found


def _alike_nll(flows: Flows, tracks: Sequence[Tensor], codes: Sequence[Tensor]) -> Tensor:
    """As `clip_nll`, computed as far as the longest goes."""
    e = flows.components
    lengths = [len(code) for code in codes]
    codes = [about(code, track, e) for code, track in zip(codes, tracks, strict=True)]
    # as far beyond a clip's end as a condition sees there are zeros, whatever clips it is computed with
    windows = Windows(list(range(len(codes))), [0] * len(codes), max(lengths) + flows.reach)
    code, track = windows.cut(codes), windows.cut(tracks)
    residual = torch.cat([code[..., :e] - track[..., :e], code[..., e:]], dim=-1)
    past = histories(residual, flows.expression.history)
    inside = windows.inside(lengths)
    parts = flows.nll(track, code, past, begun(windows.frames, flows.expression.history).expand(len(codes), -1, 1))
    return torch.stack([(part * inside).sum(dim=1) / inside.sum(dim=1) for part in parts], dim=1)


def over_frames(values: Tensor, lengths: Tensor) -> float:
    """The mean of clips' values (clips,), each clip as often as it has frames (clips,)."""
    return float((values * lengths).sum() / lengths.sum())
