"""What people upload is decoded in processes that can be killed, and that can do nothing else.

A worker has one *forkserver*, which holds the decoders and nothing of the worker: no key, no password, no file. For
each piece of decoding it forks a child that is bounded in memory, in computing time and in what it may open. The
functions here speak to such a child and otherwise are those of `worker.media`. While they wait they call `check`, which
may raise: then, as whenever its results are not wanted any more, the child is killed.
"""

from worker.decoding.forkserver import start_forkserver
from worker.decoding.readers import JpegReader, open_sound, open_video, read_image, read_speech

__all__ = ["JpegReader", "open_sound", "open_video", "read_image", "read_speech", "start_forkserver"]
