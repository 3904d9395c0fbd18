"""Self-contained HTML pages: one file, no network, every value escaped; plots are SVG inside it.

A page's Content-Security-Policy forbids the browser to fetch anything, so that text under
judgement cannot make it. A template extends ``page.html`` and gets plots as safe markup.
"""

import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# The lines and texts of a plot have this colour when drawn, and the page's own when shown.
INK = "#0a0b0c"
# Distinct also without red-green sight (Okabe and Ito's palette), on light and dark ground.
PALETTE = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00")
_STYLE: Any = {
    "svg.fonttype": "none",
    "svg.hashsalt": "r1reward",  # the same plot is the same text
    "font.family": "sans-serif",
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlelocation": "left",
    "axes.titlesize": 11,
    "legend.frameon": False,
    **dict.fromkeys(
        ("text.color", "axes.edgecolor", "axes.labelcolor", "xtick.color", "ytick.color"), INK
    ),
}
_HEAD = re.compile(r"^.*?(?=<svg)", re.DOTALL)
_METADATA = re.compile(r"<metadata>.*?</metadata>", re.DOTALL)
_NAMES = re.compile(r' id="[A-Za-z0-9]+_[0-9]+"')  # of groups; two plots would share them


def render(package: str, template: str, **values: object) -> str:
    """Return the page of ``<package>/templates/<template>``; a value it lacks is an error."""
    environment = Environment(
        loader=ChoiceLoader([PackageLoader(package), PackageLoader("r1reward")]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(template).render(**values)


@contextmanager
def drawing(width: float, height: float) -> Iterator["Figure"]:
    """Yield an empty figure of so many inches, in the style of the pages."""
    import matplotlib as mpl
    from matplotlib.figure import Figure  # not pyplot: it keeps figures, and looks for a display

    with mpl.rc_context(_STYLE):
        yield Figure(figsize=(width, height), layout="constrained")


def svg(figure: "Figure", description: str) -> Markup:
    """Return the figure as markup that takes the page's colour; call it inside :func:`drawing`.

    Args:
        figure: what was drawn.
        description: what it shows, for those who cannot see it.
    """
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
    text = _NAMES.sub("", _METADATA.sub("", _HEAD.sub("", buffer.getvalue())))
    label = Markup('<svg role="img" aria-label="{}" ').format(description)
    return Markup(text.replace("<svg ", label, 1).replace(INK, "currentColor"))  # noqa: S704
