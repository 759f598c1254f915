"""What drives a portrait, as the commands `submit` and `render` are told it: the same options, read by one rule.

All raise typer.BadParameter, which names the value got and what is allowed.
"""

from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer
from pydantic import BaseModel, ValidationError

from jobs.documents import MAX_ERRORS, InvalidJsonError, read_document
from jobs.files.written import try_folder
from jobs.formats import BY_SUFFIX
from jobs.media_types import IMAGE_TYPES, IMAGES, VIDEO_TYPES, VIDEOS, listed, type_of
from jobs.motions import ControlsMotion, Motion, MovingMotion
from jobs.schemas import MOTION, ImageOptions, VideoOptions

PortraitFile = Annotated[Path, typer.Argument(exists=True, dir_okay=False, help=f"Photo: {listed(IMAGES)}.")]
ControlList = Annotated[
    list[str] | None, typer.Option(help="A named control: yaw=20, smile=0.5; repeatable. On top of speech or a video.")
]
Absolute = Annotated[bool, typer.Option("--absolute", help="Controls replace the portrait's own pose.")]
MotionFile = Annotated[
    Path | None, typer.Option(exists=True, dir_okay=False, help="Motion, a JSON file; as --control.")
]
Audio = Annotated[Path | None, typer.Option(exists=True, dir_okay=False, help="Speech to speak.")]
Driving = Annotated[Path | None, typer.Option(exists=True, dir_okay=False, help="Image or video to follow.")]
OptionList = Annotated[
    list[str] | None, typer.Option("--option", help="An option as in the API: fps=30, paste_back=false; repeatable.")
]
Options = TypeVar("Options", bound=BaseModel)


@dataclass(frozen=True)
class Drivers:
    """What drives a portrait: one of these, or several that make a video; `filmed` says that `driving` is one.

    Speech is a sound, or a `text` where a server speaks it.
    """

    motion: Motion | None = None
    audio: Path | None = None
    text: str | None = None
    driving: Path | None = None
    filmed: bool = False

    @property
    def kind(self) -> str:
        """The kind of format that is made: "image" or "video"."""
        return "video" if self.audio or self.text or self.filmed or isinstance(self.motion, MovingMotion) else "image"

    def options(self, pairs: list[str], output: Path | None) -> ImageOptions | VideoOptions:
        """Those of an image or of a video; the suffix of `output` says the format, if it is given."""
        if output is None:
            return self._options(pairs)
        formats = BY_SUFFIX[self.kind]
        name = formats.get(output.suffix.lower())
        if name is None:
            raise typer.BadParameter(f"{str(output)!r}; allowed is {', '.join(formats)}", param_hint="--output")
        options = self._options(pairs, format=name)
        if options.format != name:
            raise typer.BadParameter(
                f"format={options.format} for {output.name!r}; allowed is {name}", param_hint="--option"
            )
        return options

    def _options(self, pairs: list[str], **defaults: Any) -> ImageOptions | VideoOptions:
        if self.kind == "video":
            return read_options(VideoOptions, pairs, **defaults)
        return read_options(ImageOptions, pairs, **defaults)


def read_drivers(
    *,
    control: list[str] | None,
    absolute: bool,
    motion: Path | None,
    audio: Path | None,
    driving: Path | None,
    text: str | None = None,
    speech: str = "--audio",
) -> Drivers:
    """Read what was given: one of them, or for a video speech, a driving video and a motion, two of them or all.

    A text counts as speech, which may be given by the options that `speech` names.
    """
    if audio and text:
        raise typer.BadParameter("--audio and --text are given; allowed is one of them")
    drivers = {"--control": control, "--motion": motion, "--audio": audio, "--text": text, "--driving": driving}
    given = [name for name, value in drivers.items() if value]
    if not given or {"--control", "--motion"} <= {*given}:
        allowed = f"at least one of {speech}, --driving, and either --control or --motion, is needed"
        raise typer.BadParameter(f"{allowed}, got {', '.join(given) or 'none'}")
    media_type = None if driving is None else type_of(driving)
    if media_type not in (None, *IMAGE_TYPES, *VIDEO_TYPES):
        allowed = f"an image ({listed(IMAGES)}) or a video ({listed(VIDEOS)})"
        raise typer.BadParameter(f"it looks like {media_type}; allowed is {allowed}", param_hint="--driving")
    if media_type in IMAGE_TYPES and len(given) > 1:
        beside = f"it looks like {media_type}; allowed beside {given[0]} is a video ({listed(VIDEOS)})"
        raise typer.BadParameter(beside, param_hint="--driving")
    read = _motion(control, motion, relative=not absolute)
    return Drivers(read, audio, text, driving, filmed=media_type in VIDEO_TYPES)


def read_options(schema: type[Options], pairs: list[str], **defaults: Any) -> Options:
    """Options of a schema from NAME=VALUE texts."""
    try:
        return schema.model_validate({**defaults, **read_pairs(pairs)})
    except ValidationError as error:
        raise typer.BadParameter(_explained(error), param_hint="--option") from error


def check_writable(path: Path, option: str = "--output") -> None:
    """Refuse a file that cannot be written, before any work is done for it; its folder is made."""
    try:
        try_folder(path.parent)
    except OSError as error:
        why = "its folder is a file" if isinstance(error, FileExistsError | NotADirectoryError) else error.strerror
        raise typer.BadParameter(f"{str(path)!r} cannot be written: {why}", param_hint=option) from error
    if path.is_dir():
        raise typer.BadParameter(f"{str(path)!r} is a folder; allowed is a file", param_hint=option)


def _motion(control: list[str] | None, path: Path | None, *, relative: bool) -> Motion | None:
    try:
        if control:
            return ControlsMotion.model_validate({"controls": read_pairs(control), "relative": relative})
        return None if path is None else read_document(MOTION, path.read_bytes())
    except InvalidJsonError as error:
        raise typer.BadParameter(str(error), param_hint="--motion") from error
    except ValidationError as error:
        raise typer.BadParameter(_explained(error), param_hint="--control" if control else "--motion") from error


def read_pairs(texts: list[str]) -> dict[str, str]:
    """NAME=VALUE texts as a dictionary; the schemas read the values."""
    if bad := [text for text in texts if not text.partition("=")[0] or "=" not in text]:
        raise typer.BadParameter(f"{bad[0]!r} is not NAME=VALUE")
    pairs: dict[str, str] = {}
    for name, _, value in (text.partition("=") for text in texts):
        if name in pairs:
            raise typer.BadParameter(f"{name} is given twice, {pairs[name]!r} and {value!r}; allowed is once")
        pairs[name] = value
    return pairs


def _explained(error: ValidationError) -> str:
    return "; ".join(
        f"{'.'.join(str(part) for part in problem['loc']) or 'motion'}: {problem['msg']}, got {problem['input']!r:.80}"
        for problem in islice(error.errors(include_url=False), MAX_ERRORS)
    )
