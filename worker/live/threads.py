"""Threads of a live session, each of which does one kind of work."""

from concurrent.futures import ThreadPoolExecutor

import torch


def one_thread(name: str, *, alone: bool = False) -> ThreadPoolExecutor:
    """A thread. Where it works `alone`, torch shares none of its work with others.

    Beside the renderer's network more of them would only wait for a core, and keep it from the network meanwhile.
    """
    if not alone:
        return ThreadPoolExecutor(1, f"live-{name}")
    everywhere = torch.get_num_threads()
    thread = ThreadPoolExecutor(1, f"live-{name}", initializer=torch.set_num_threads, initargs=(1,))
    thread.submit(torch.get_num_threads).result()  # it has begun
    torch.set_num_threads(everywhere)  # as threads that begin later are to have it
    return thread
