import threading
import time

import pytest

from model.renderer.animate import ahead


def test_the_next_item_is_made_while_one_is_used_and_none_beyond():
    made = []

    def items():
        for number in range(5):
            made.append((number, threading.get_ident()))
            yield number

    used = []
    for number in ahead(items()):
        time.sleep(0.02)
        assert len(made) == min(number + 2, 5)
        used.append(number)
    assert used == [0, 1, 2, 3, 4]
    assert threading.get_ident() not in {thread for _, thread in made}


def test_an_error_while_making_reaches_the_user():
    def items():
        yield 0
        raise ValueError("no second item")

    with pytest.raises(ValueError, match="no second item"):
        list(ahead(items()))
    stopped = ahead(iter(range(3)))
    assert next(stopped) == 0
    stopped.close()
    assert not any(thread.name.startswith("ahead") for thread in threading.enumerate())
