"""How figures look, and how they become files: the only place that knows matplotlib's back ends."""

import io
import re
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from lineament.core.errors import RuntimeUnavailable
from lineament.evaluate.report_markup import Markup, escaped, visible

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PictureFormat = Literal["svg", "png"]

# Blue and vermilion of Okabe and Ito (2002), told apart with any colour vision.
PALETTE = {
    "ink": "#1b1f24",
    "muted": "#5d6670",
    "rule": "#dde1e5",
    "shade": "#eff1f3",
    "mated": "#0072b2",
    "nonmated": "#d55e00",
    "paper": "#ffffff",
}
"""Colours by role. In a page each becomes a CSS variable of that name, so that dark mode can change it."""

_STYLE: dict[str, Any] = {
    "font.family": ["DejaVu Sans"],
    "font.size": 8.5,
    "text.parse_math": False,  # a name with dollar signs is a name
    "text.color": PALETTE["ink"],
    "axes.edgecolor": PALETTE["muted"],
    "axes.labelcolor": PALETTE["ink"],
    "axes.labelsize": 9,
    "axes.linewidth": 0.7,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.facecolor": "none",
    "grid.color": PALETTE["rule"],
    "grid.linewidth": 0.6,
    "xtick.color": PALETTE["muted"],
    "ytick.color": PALETTE["muted"],
    "xtick.labelcolor": PALETTE["ink"],
    "ytick.labelcolor": PALETTE["ink"],
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "xtick.major.size": 3,
    "ytick.major.size": 3,
    "xtick.minor.size": 0,
    "ytick.minor.size": 0,
    "lines.linewidth": 1.6,
    "lines.dash_capstyle": "butt",
    "lines.solid_capstyle": "round",
    "legend.frameon": False,
    "legend.fontsize": 8,
    "legend.handlelength": 2.4,
    "hatch.linewidth": 0.5,
    "savefig.facecolor": PALETTE["paper"],
    "svg.hashsalt": "lineament",
}


@dataclass(frozen=True, slots=True, eq=False)
class Plot:
    """A figure that has not been drawn yet.

    Attributes:
        name: of its file, without a suffix.
        title: above it, for people.
        alt: what it shows, for those who cannot see it.
        caption: what a reader must know besides the axes.
        draw: puts it on an empty figure.
        size: width and height, inches.
    """

    name: str
    title: str
    alt: str
    caption: str
    draw: "Callable[[Figure], None]"
    size: tuple[float, float] = (5.0, 3.9)


def figure(plot: Plot, *, words_as_text: bool = False) -> "Figure":
    """The drawn figure.

    Args:
        plot: which.
        words_as_text: leave letters in SVG to the reader's fonts, instead of drawing them as outlines.

    Raises:
        RuntimeUnavailable: matplotlib is not installed.
    """
    return _drawn(plot, words_as_text, lambda drawn: drawn)


def render(plot: Plot, form: PictureFormat) -> bytes:
    """A figure as a file that needs nothing else: SVG with letters as outlines, or PNG at 200 dots per inch.

    The same run gives the same bytes with the same version of matplotlib.

    Raises:
        RuntimeUnavailable: matplotlib is not installed.
    """
    return _drawn(plot, False, lambda drawn: _saved(drawn, form))


def inline(plot: Plot) -> Markup:
    """A figure as an SVG element for a page, whose colours and fonts are the page's.

    Raises:
        RuntimeUnavailable: matplotlib is not installed.
    """
    svg = _drawn(plot, True, lambda drawn: _saved(drawn, "svg", clear=True)).decode()
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"\s*<metadata>.*?</metadata>|\s*<style .*?</style>|<!--.*?-->", "", svg, flags=re.DOTALL)
    svg = _own_ids(svg, plot.name)
    for role, shade in PALETTE.items():
        svg = svg.replace(shade, f"var(--{role})")
    opening = f'<svg role="img" aria-label="{escaped(plot.alt)}"'
    svg = re.sub(
        r'<svg(.*?) width="[^"]*"( .*?)?>', rf"{_literal(opening)}\1\2>", svg, count=1, flags=re.DOTALL
    )
    svg = re.sub(r'(<svg[^>]*?) height="[^"]*"', r"\1", svg, count=1)
    return Markup(re.sub(r"\n\s*", "\n", svg).strip())


def _drawn(plot: Plot, words_as_text: bool, use: "Callable[[Figure], Any]") -> Any:
    """Draw, and use the figure while the style is in force: matplotlib reads it again when it saves."""
    try:
        import matplotlib as mpl
        from matplotlib.figure import Figure
    except ImportError as error:
        raise RuntimeUnavailable(
            'figures need matplotlib, which is not installed: pip install "lineament[report]"'
        ) from error
    kind = "none" if words_as_text else "path"
    settings: Any = {**_STYLE, "svg.fonttype": kind}
    with mpl.rc_context(settings), warnings.catch_warnings():
        # Names may be in a script that the drawing font lacks; a page uses the reader's fonts anyway.
        warnings.filterwarnings("ignore", message=r"Glyph \d+ .*missing from font")
        empty = Figure(figsize=plot.size, layout="constrained")
        plot.draw(empty)
        return use(empty)


def _saved(drawn: "Figure", form: PictureFormat, *, clear: bool = False) -> bytes:
    stream = io.BytesIO()
    metadata: dict[str, Any] = {"Date": None, "Creator": None} if form == "svg" else {"Software": None}
    drawn.savefig(stream, format=form, dpi=200, metadata=metadata, transparent=clear)
    return stream.getvalue()


def _own_ids(svg: str, name: str) -> str:
    """Ids that are referred to get the figure's name, so that figures of a page do not share them."""
    used = set(re.findall(r'(?:url\(#|href="#)([^)"]+)', svg))
    svg = re.sub(r' id="([^"]*)"', lambda m: f' id="{name}-{m[1]}"' if m[1] in used else "", svg)
    return re.sub(r'(url\(#|href="#)', rf"\g<1>{name}-", svg)


def _literal(text: str) -> str:
    """For use in a pattern's replacement."""
    return visible(text).replace("\\", r"\\")
