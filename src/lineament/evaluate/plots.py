"""Figures of a run: which there are, and how they become files.

Every figure is drawn from the run's own curves and counts. Matplotlib (`pip install "lineament[report]"`) is
loaded when the first one is drawn.
"""

from pathlib import Path

from lineament.core.files import write_bytes
from lineament.evaluate.plot_groups import by_group, cross
from lineament.evaluate.plot_rates import by_threshold, det, histogram, roc
from lineament.evaluate.plot_searches import cmc, discard, search
from lineament.evaluate.plot_style import PictureFormat, Plot, figure, inline, render
from lineament.evaluate.report_fields import View
from lineament.evaluate.run import Run

__all__ = ["PictureFormat", "Plot", "figure", "inline", "plots", "plots_of", "render", "write_figures"]

_MAKERS = (det, roc, by_threshold, histogram, cmc, search, cross, by_group, discard)


def plots(run: Run) -> tuple[Plot, ...]:
    """Every figure for which the run has data, in the order of a report.

    Raises:
        DatasetInvalid: a curve or section is of the wrong kind.
    """
    return plots_of(View.of(run))


def plots_of(view: View) -> tuple[Plot, ...]:
    """As `plots`, of a run that is being read."""
    made = (maker(view) for maker in _MAKERS)
    return tuple(plot for plot in made if plot is not None)


def write_figures(run: Run, folder: Path, form: PictureFormat = "svg") -> list[Path]:
    """Write each figure as a file `<name>.svg` or `.png` into an existing folder.

    Returns:
        What was written.

    Raises:
        RuntimeUnavailable: matplotlib is not installed.
        DatasetInvalid: a curve or section is of the wrong kind.
        OutputFailed: the folder cannot be written to.
    """
    written: list[Path] = []
    for plot in plots(run):
        path = folder / f"{plot.name}.{form}"
        write_bytes(path, render(plot, form))
        written.append(path)
    return written
