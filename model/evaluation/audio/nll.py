"""The likelihood of whole clips under the flows."""

from collections.abc import Sequence

import torch
from torch import Tensor

from model.audio.network import Flows, about, histories
from model.data.speech_windows import Windows


@torch.no_grad()
def clip_nll(flows: Flows, tracks: Sequence[Tensor], codes: Sequence[Tensor]) -> Tensor:
    """The mean NLL a frame, in nats, of expression and pose (clips, 2): tracks (T, S), codes (T, E + 6).

    A clip's residual of expression has no mean: what a face does in the mean while it speaks is not told by the sound.
    """
    flows.eval()
    e = flows.components
    lengths = [len(code) for code in codes]
    windows = Windows(list(range(len(codes))), [0] * len(codes), max(lengths))
    codes = [about(code, track, e) for code, track in zip(codes, tracks, strict=True)]
    code, track = windows.cut(codes), windows.cut(tracks)
    residual = torch.cat([code[..., :e] - track[..., :e], code[..., e:]], dim=-1)
    past = histories(residual, flows.expression.history)
    inside = windows.inside(lengths)
    parts = flows.nll(track, code, past, torch.ones_like(code[..., :1]))
    return torch.stack([(part * inside).sum(dim=1) / inside.sum(dim=1) for part in parts], dim=1)


def flow_nll(flows: Flows, tracks: Sequence[Tensor], codes: Sequence[Tensor]) -> tuple[float, float]:
    """The mean NLL a frame, in nats, of expression and pose over all frames of clips, as `clip_nll` takes."""
    expression, pose = over_frames(clip_nll(flows, tracks, codes), codes).tolist()
    return expression, pose


def over_frames(values: Tensor, codes: Sequence[Tensor]) -> Tensor:
    """The mean (...) of clips' values (clips, ...), each clip as often as it has frames."""
    lengths = torch.tensor([float(len(code)) for code in codes])
    mean: Tensor = torch.tensordot(lengths / lengths.sum(), values, dims=1)
    return mean
