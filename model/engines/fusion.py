"""Convolutions rewritten into others that give the same numbers for less work.

Letters: O output channels, I input channels, K kernel size.
"""

import torch
from torch import Tensor
from torch.nn import functional as F


def enlarging_kernel(weight: Tensor) -> Tensor:
    """The kernel of one transposed convolution for "enlarge by two (nearest), then convolve".

    An enlarged map repeats every pixel, so that of the 3x3 taps of `weight` (O, I, 3, 3) several read the same one.
    Added up they are the (I, O, 4, 4) taps of a transposed convolution of stride 2 and padding 1, which reads the small
    map: 4 products an output pixel in place of 9.
    """
    rows = torch.tensor([[0.0, 0, 1], [0, 1, 1], [1, 1, 0], [1, 0, 0]], dtype=weight.dtype, device=weight.device)
    return torch.einsum("ak,oikl,bl->ioab", rows, weight, rows)


def neighbours_kernel(weight: Tensor, neighbours: int) -> Tensor:
    """The kernel that computes `neighbours` horizontally adjacent output pixels as channels of one.

    A convolution with 2 to 4 output channels leaves most lanes of a vector unit idle. With weight (O, I, K, L) as
    (neighbours * O, I, K, L + neighbours - 1) and a horizontal stride of `neighbours`, they are full; channel n * O + o
    is channel o of neighbour n.
    """
    shifted = [F.pad(weight, (n, neighbours - 1 - n)) for n in range(neighbours)]
    return torch.cat(shifted)
