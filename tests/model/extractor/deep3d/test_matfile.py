import numpy as np
import pytest

from model.extractor.deep3d.matfile import read_matrix
from tests.support.deep3d import mat_file

MATRIX = np.random.default_rng(0).standard_normal((68, 3))


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("name", ["lm", "landmarks"])
def test_a_matrix_is_read_as_it_was_written(compressed, order, name):
    content = mat_file(name, MATRIX, compressed=compressed, order=order)
    assert np.array_equal(read_matrix(content, name), MATRIX)


@pytest.mark.parametrize("compressed", [False, True])
def test_a_file_cut_anywhere_is_refused_or_read_whole(compressed):
    content = mat_file("lm", MATRIX, compressed=compressed)
    for size in range(len(content) - 8):
        with pytest.raises(ValueError, match=r"begins with|cut off|damaged|no such|unpack|named"):
            read_matrix(content[:size], "lm")


@pytest.mark.parametrize("compressed", [False, True])
def test_damaged_bytes_never_do_more_than_raise(compressed):
    content = mat_file("lm", MATRIX, compressed=compressed)
    rng = np.random.default_rng(0)
    refused = 0
    for _ in range(2000):
        damaged = bytearray(content)
        for at in rng.integers(128, len(content), 3):
            damaged[at] = rng.integers(256)
        try:
            read_matrix(bytes(damaged), "lm")
        except ValueError:
            refused += 1
    assert refused > 100


def test_what_is_inside_is_named_and_bombs_are_not_inflated():
    with pytest.raises(ValueError, match=r"matrices named \['lm'\]; allowed is one named 'other'"):
        read_matrix(mat_file("lm", MATRIX), "other")
    with pytest.raises(ValueError, match="begins with b'\\\\x89HDF"):
        read_matrix(b"\x89HDF\r\n\x1a\n" + bytes(1000), "lm")
    bomb = mat_file("lm", np.zeros((1000, 1000)))
    assert len(bomb) < 20_000
    with pytest.raises(ValueError, match="larger than 4194304 bytes"):
        read_matrix(bomb, "lm")
