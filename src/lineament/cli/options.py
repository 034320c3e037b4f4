"""Options that several commands share."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])

PHOTO = click.Path(path_type=Path)


class Finite(click.FloatRange):
    """A number within a range; click's own range lets `nan` through."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The number, or a usage error."""
        number = super().convert(value, param, ctx)
        if not math.isfinite(number):
            self.fail(f"{value} is not a finite number", param, ctx)
        return number


def recognizer_options(command: F) -> F:
    """`--model`, `--engine`, `--provider`, `--threads`, `--precision`."""
    for option in reversed(
        (
            click.option("--model", metavar="PACK", help="Installed pack, folder, zip or .onnx file."),
            click.option(
                "--engine",
                type=click.Choice(["onnxruntime", "openvino"]),
                default="onnxruntime",
                show_default=True,
                help="Inference engine.",
            ),
            click.option(
                "--provider",
                "providers",
                multiple=True,
                metavar="NAME",
                help="ONNX Runtime execution provider, first choice first; may be repeated.",
            ),
            click.option("--threads", type=int, default=0, help="Threads; 0 uses every processor."),
            click.option(
                "--precision",
                type=click.Choice(["fp32", "bf16", "int8"]),
                default="fp32",
                show_default=True,
                help="Arithmetic of the recognition network (bf16 and int8: --engine openvino).",
            ),
        )
    ):
        command = option(command)
    return command


def make_recognizer(
    model: str | None,
    engine: str,
    providers: tuple[str, ...],
    threads: int,
    precision: str,
    **settings: Any,
) -> Any:
    """A `Recognizer` from the shared options."""
    from lineament.pipeline.parts import PartSettings
    from lineament.pipeline.recognizer import Recognizer
    from lineament.runtime.options import RuntimeOptions

    runtime = RuntimeOptions(
        engine=engine,  # type: ignore[arg-type]  (click checked the choice)
        providers=providers or ("CPUExecutionProvider",),
        threads=threads,
        precision=precision,  # type: ignore[arg-type]  (click checked the choice)
    )
    return Recognizer(model, runtime=runtime, settings=PartSettings(**settings))


def turns(rotate: bool) -> dict[str, Any]:
    """Detection adjustments of `--rotate`."""
    return {"angles": (0, 90, 180, 270)} if rotate else {}
