import torch

from model.audio.flow import ConditionalFlow
from model.audio.sampling import QuickReverse


def test_the_quick_reverse_is_the_flow_reversed() -> None:
    torch.manual_seed(0)
    flow = ConditionalFlow(5, 3, steps=4, hidden=8).train()
    flow(2 * torch.randn(4, 20, 5) + 1, torch.randn(4, 20, 3))
    with torch.no_grad():
        for parameter in flow.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    flow.eval()
    noise, condition = torch.randn(2, 12, 5), torch.randn(2, 12, 3)
    quick, frames = QuickReverse(flow), []
    state = quick.start(2)
    with torch.no_grad():
        for t in range(12):
            frame, state = quick(noise[:, t], condition[:, t], state)
            frames.append(frame)
        expected, _, _ = flow(noise, condition, reverse=True)
    torch.testing.assert_close(torch.stack(frames, dim=1), expected, atol=1e-4, rtol=0)
