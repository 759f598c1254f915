"""The likelihood of whole clips under the flows."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from model.audio.batches import Windows
from model.audio.network import Flows, histories


@torch.no_grad()
def flow_nll(flows: Flows, tracks: Sequence[Tensor], codes: Sequence[Tensor]) -> tuple[float, float]:
    """Return the mean NLL a frame, in nats, of expression and pose of whole clips: tracks (T, S), codes (T, E + 6)."""
    flows.eval()
    e = flows.components
    lengths = [len(code) for code in codes]
    windows = Windows(list(range(len(codes))), [0] * len(codes), max(lengths))
    code, track = windows.cut(codes), windows.cut(tracks)
    residual = torch.cat([code[..., :e] - track[..., :e], code[..., e:]], dim=-1)
    past = histories(residual, flows.expression.history)
    inside = windows.inside(lengths)
    expression, pose = flows.nll(track, code, past, torch.ones_like(code[..., :1]))
    return float((expression * inside).sum() / inside.sum()), float((pose * inside).sum() / inside.sum())
