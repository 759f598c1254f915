"""Commands of the offline side: `train`, `evaluate` and `weights`."""

import importlib
import json
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic import ValidationError

from model.errors import ModelError
from model.logs import log_to_stderr
from model.weights import RENDERER

train = typer.Typer(
    callback=log_to_stderr, no_args_is_help=True, help="Train a model on a corpus folder; resumes by itself."
)
evaluate = typer.Typer(
    callback=log_to_stderr, no_args_is_help=True, help="Measure a released model on a corpus folder's held-out people."
)
weights = typer.Typer(callback=log_to_stderr, no_args_is_help=True, help="Import, inspect and calibrate weights.")

DataOption = Annotated[Path, typer.Option("--data", help="Corpus folder; docs/training.md describes it.")]
SpeechOption = Annotated[
    list[Path], typer.Option("--data", help="Corpus or speech folder; may be given several times.")
]
OutOption = Annotated[Path, typer.Option("--out", help="Folder of the run: checkpoints, logs, sheets, weights.")]
ImportOption = Annotated[
    Path,
    typer.Option("--out", help="Folder for NAME.safetensors and NAME.json: one that workers read, as model/weights."),
]
ConfigOption = Annotated[Path | None, typer.Option("--config", help="TOML file; what it leaves out has its default.")]
MinutesOption = Annotated[float | None, typer.Option("--minutes", min=0.01, help="Time budget, earlier parts counted.")]
DryRunOption = Annotated[bool, typer.Option("--dry-run", help="Print the resolved configuration and stop.")]
RendererOption = Annotated[str, typer.Option("--renderer", help="Name of the renderer's weights.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]


# name: (module with `train`, its configuration, what --help says)
TRAININGS = {
    "morphable": (
        "model.training.morphable.train",
        "MorphableConfig",
        "Build the morphable model from landmarks; minutes.",
    ),
    "extractor": ("model.training.extractor.train", "ExtractorConfig", "Train face crop to landmarks and confidence."),
    "skinning": (
        "model.training.renderer.train_skinning",
        "SkinningConfig",
        "Train how a portrait's pixels follow its head.",
    ),
    "renderer": (
        "model.training.renderer.train",
        "RendererTrainingConfig",
        "Train mapping, warping and editing networks.",
    ),
    "audio": ("model.training.audio.train", "AudioConfig", "Train speech to motion."),
    "judge": ("model.training.judge.train", "JudgeConfig", "Train what tells whether lips follow a sound; minutes."),
}
SPEECH_TRAININGS = {"audio", "judge"}  # take several folders


def _training_command(name: str, module_name: str, config_name: str) -> Callable[..., None]:
    def command(
        data: DataOption,
        out: OutOption,
        config: ConfigOption = None,
        *,
        minutes: MinutesOption = None,
        dry_run: DryRunOption = False,
    ) -> None:
        module = importlib.import_module(module_name)  # here, since torch takes seconds to load
        try:
            values = tomllib.loads(config.read_text(encoding="utf-8")) if config else {}
            defaults = module.defaults_for(data) if hasattr(module, "defaults_for") else {}
            resolved = getattr(module, config_name).model_validate(defaults | values)
        except (OSError, tomllib.TOMLDecodeError, ValidationError) as error:
            raise typer.BadParameter(str(error), param_hint="--config") from error
        if dry_run:
            typer.echo(resolved.model_dump_json(indent=2))
            return
        _or_exit(lambda: module.train(resolved, data=data, out=out, minutes=minutes))

    command.__name__ = f"train_{name}"
    if name in SPEECH_TRAININGS:
        command.__annotations__["data"] = SpeechOption
    return command


for _name, (_module, _config, _help) in TRAININGS.items():
    train.command(_name, help=_help)(_training_command(_name, _module, _config))


@train.command("prepare")
def prepare_videos(
    videos: Annotated[Path, typer.Argument(help="Folder of videos, one person each; folders below it count too.")],
    *,
    out: Annotated[Path, typer.Option("--out", help="Corpus folder to make or add to.")],
    licence: Annotated[str, typer.Option(help="Under which the footage is used; cards of what it trains name it.")],
    val_share: Annotated[float, typer.Option(min=0, max=1, help="Share of the people to hold out.")] = 0.1,
    as_json: JsonOption = False,
) -> None:
    """Find, cut and read the faces of plain videos; resumes by itself and adds what is new."""
    from model.data.prepare import prepare as run

    _show(_or_exit(lambda: run(videos, out, licence=licence, val_share=val_share)), as_json=as_json)


@evaluate.command("extractor")
def evaluate_extractor(
    data: DataOption,
    *,
    directory: Annotated[Path | None, typer.Option("--weights", help="Folder of weights; unset, the packaged.")] = None,
    sheet: Annotated[
        Path | None, typer.Option(help="Also write a PNG there: ten photos, landmarks and controls.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Landmarks, angles, confidence, face finding and speed, and the morphable model behind them."""
    from model.evaluation.extractor import evaluate as run

    _show(_or_exit(lambda: run(data, weights=directory, sheet=sheet)), as_json=as_json)


@evaluate.command("renderer")
def evaluate_renderer(
    data: DataOption,
    *,
    name: RendererOption = RENDERER,
    directory: Annotated[Path | None, typer.Option("--weights", help="Folder of weights; unset, the packaged.")] = None,
    engine: Annotated[str, typer.Option(help="auto, openvino, compiled or torch.")] = "auto",
    clips: Annotated[int | None, typer.Option(min=1, help="Look at so many clips and photos only.")] = None,
    sheet: Annotated[Path | None, typer.Option(help="Also write a PNG there: ten people at nine motions.")] = None,
    lpips: Annotated[Path | None, typer.Option(help="Weights of LPIPS on AlexNet (.pth): adds its column.")] = None,
    identity_model: Annotated[
        Path | None, typer.Option(help="A network trained with ArcFace (.onnx, faces of 112x112): adds its column.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Held-out people in their own and others' motion, beside copying the source and warping its mesh."""
    from model.evaluation.renderer.evaluate import evaluate as run
    from model.evaluation.renderer.report import as_text, with_scales
    from model.metrics.arcface import ArcFace
    from model.metrics.lpips import AlexLPIPS

    def tables() -> dict[str, dict[str, Any]]:
        more = {"lpips": AlexLPIPS(lpips).compare} if lpips else {}
        recognition = ArcFace(identity_model) if identity_model else None
        return run(
            data,
            name=name,
            weights=directory,
            engine=engine,
            clips=clips,
            stills=clips,
            sheet=sheet,
            more=more,
            recognition=recognition,
        )

    found = _or_exit(tables)
    typer.echo(json.dumps(with_scales(found), indent=2) if as_json else as_text(found))


@evaluate.command("audio")
def evaluate_audio(
    data: SpeechOption,
    *,
    directory: Annotated[Path | None, typer.Option("--weights", help="Folder of weights; unset, the packaged.")] = None,
    sheet: Annotated[
        Path | None, typer.Option(help="Also write a PNG there: mouths under the waveform of what they say.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Likelihood, lip synchrony, closures (with eSpeak NG), motion statistics and diversity, in all and by source."""
    from model.evaluation.audio.evaluate import evaluate_corpus as run
    from model.evaluation.audio.report import as_text

    found = _or_exit(lambda: run(data, weights=directory, sheet=sheet))
    typer.echo(json.dumps(found, indent=2) if as_json else as_text(found))


@weights.command("import")
def import_weights(
    checkpoint: Annotated[Path, typer.Argument(help="The authors' checkpoint (a .pt file).")],
    *,
    motion_space: Annotated[str, typer.Option(help="What its coefficients are, such as bfm-deep3d.")],
    out: ImportOption,
) -> None:
    """Turn the authors' checkpoint into safetensors with a card; nothing of the pickle is executed."""
    from model.renderer.official import import_official

    typer.echo(_or_exit(lambda: import_official(checkpoint, motion_space, out)))


@weights.command("import-deep3d")
def import_deep3d_weights(
    checkpoint: Annotated[Path, typer.Argument(help="Deep3DFaceRecon's checkpoint (a .pth file).")],
    *,
    standard_face: Annotated[
        Path, typer.Option(help="Its similarity_Lm3D_all.mat; or a text file of the five points.")
    ],
    out: ImportOption,
) -> None:
    """Turn a Deep3DFaceRecon network into safetensors with a card: it reads photos for the authors' renderer."""
    from model.extractor.deep3d import import_deep3d

    typer.echo(_or_exit(lambda: import_deep3d(checkpoint, standard_face, out)))


@weights.command("calibrate")
def calibrate_weights(
    data: DataOption,
    *,
    name: RendererOption = RENDERER,
    directory: Annotated[Path | None, typer.Option(help="Folder of the weights; unset, the packaged ones.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Find how the renderer computes in eight bits, measure its picture, and write both to its card."""
    from model.training.renderer.calibrate import calibrate as run

    _show(_or_exit(lambda: run(data, name, directory)), as_json=as_json)


@weights.command("inspect")
def inspect_weights(
    path: Annotated[Path, typer.Argument(help="A .safetensors file.")], *, as_json: JsonOption = False
) -> None:
    """Print what a weights file is: its card, tensors and parameter counts."""
    from model.inspect_weights import inspect_weights as run

    _show(_or_exit(lambda: run(path)), as_json=as_json)


def _or_exit(action: Any) -> Any:
    try:
        return action()
    except ModelError as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(1) from error


def _show(figures: Any, *, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(figures, indent=2))
        return
    for name, value in figures.items():
        if isinstance(value, dict):
            typer.echo(f"{name}:")
            for inner, figure in value.items():
                typer.echo(f"  {inner:38} {figure}")
        else:
            typer.echo(f"{name:40} {value}")
