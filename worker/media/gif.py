"""GIF out, of a video's fragments: 256 colours for all of it, chosen by a sample of its frames.

Colours between them are shown by a fine pattern that stands still (ordered dither): errors that are diffused would
swarm from frame to frame.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from fractions import Fraction
from itertools import islice
from pathlib import Path
from typing import Any

import av

from model.arrays import Pixels
from worker.media.animations import changes, rgb, ticks
from worker.media.marking import mark_gif
from worker.media.stream import Encoded, Fragments

MOST_FPS = Fraction(50)  # browsers show what is to be there for less than two hundredths of a second for ten
HUNDREDTHS = 100
SAMPLED_FRAGMENTS = 8
SAMPLED_FRAMES = 6  # of so many one
DITHER = "dither=bayer:bayer_scale=4"  # coarser ones are seen on skin, and without any its shades have edges


def write_gif(video: Fragments, output: Path, told: Callable[[int], None]) -> Encoded:
    """Write the pictures of a video as a GIF that is shown again and again; `told` how many are done.

    Of more than 50 frames a second some are left out, evenly.
    """
    form = video.form
    fps = min(form.fps, MOST_FPS)
    palette = _palette(video, told)
    frames = _slot(video, video.frames - 1) + 1
    last = ticks(video.frames, form.fps, HUNDREDTHS) - ticks(frames - 1, fps, HUNDREDTHS)
    with av.open(str(output), "w", format="gif", options={"loop": "0", "final_delay": str(last)}) as container:
        stream: Any = container.add_stream("gif", rate=fps)
        stream.width, stream.height, stream.pix_fmt = form.width, form.height, "pal8"
        stream.codec_context.time_base = Fraction(1, HUNDREDTHS)
        shown = (change.picture for change in changes(map(rgb, _kept(video, told))))
        for number, frame in enumerate(_painted(shown, palette, video)):
            frame.pts, frame.time_base = ticks(number, fps, HUNDREDTHS), Fraction(1, HUNDREDTHS)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    mark_gif(output)
    return Encoded(frames, fps)


def _slot(video: Fragments, number: int) -> int:
    """Which of the GIF's frames is shown when a frame of the video begins."""
    return int(number * min(video.form.fps, MOST_FPS) // video.form.fps)


def _kept(video: Fragments, told: Callable[[int], None]) -> Iterator[Any]:
    """The first of the video's frames for each of the GIF's."""
    for number, frame in enumerate(video.pictures()):
        if number == 0 or _slot(video, number) > _slot(video, number - 1):
            yield frame
        told(number + 1)


def _palette(video: Fragments, told: Callable[[int], None]) -> Any:
    """An av.VideoFrame of 256 colours, one of them transparent: it stands for what has not changed."""
    step = -(-len(video.paths) // SAMPLED_FRAGMENTS)
    sample = replace(video, paths=video.paths[::step]).pictures()
    graph = av.filter.Graph()
    pictures, sink = _source(graph, video), graph.add("buffersink")
    graph.link_nodes(pictures, graph.add("palettegen"), sink).configure()
    for frame in islice(sample, 0, None, SAMPLED_FRAMES):
        pictures.push(_frame(rgb(frame)))
        told(0)
    pictures.push(None)
    return sink.pull()


def _painted(pictures: Iterable[Pixels], palette: Any, video: Fragments) -> Iterator[Any]:
    """Pictures in the colours of a palette, as av.VideoFrame."""
    graph = av.filter.Graph()
    source, sink = _source(graph, video), graph.add("buffersink")
    colours = graph.add_buffer(
        width=palette.width, height=palette.height, format=palette.format, time_base=1 / video.form.fps
    )
    paint = graph.add("paletteuse", DITHER)
    source.link_to(paint, 0, 0)
    colours.link_to(paint, 0, 1)
    paint.link_to(sink)
    graph.configure()
    colours.push(palette)
    colours.push(None)
    for number, picture in enumerate(pictures):
        frame = _frame(picture)
        frame.pts, frame.time_base = number, 1 / video.form.fps
        source.push(frame)
        yield sink.pull()


def _source(graph: Any, video: Fragments) -> Any:
    form = video.form
    return graph.add_buffer(
        width=form.width, height=form.height, format=av.VideoFormat("rgb24"), time_base=1 / form.fps
    )


def _frame(picture: Pixels) -> Any:
    return av.VideoFrame.from_ndarray(picture, format="rgb24")
