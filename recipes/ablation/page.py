"""Write the report of the study: ``r1reward ablation-page runs=DIR``.

Writes ``summary.json``, ``runs.json.gz`` (every run's curves), the plots, and the part of
README.md between its markers. Exit status: 0 when written, 2 when there is no run to show.
"""

import gzip
import json
import sys
from collections.abc import Iterator, Sequence
from html import escape
from pathlib import Path

from omegaconf import DictConfig

from r1reward.cli.command import run_command
from r1reward.core.errors import UserError
from r1reward.core.intervals import Mean, wilson_interval
from r1reward.machine.console import console_on
from r1reward.recipes.ablation import plots
from r1reward.recipes.ablation.rows import FinishedRun, Pair, Start
from r1reward.recipes.ablation.summary import Cell, as_json, cells, compact, read_runs
from r1reward.store.files import replacing, write_text

START = "start.json"  # as r1reward.recipes.ablation.study writes it
_BEGIN, _END = (
    "<!-- results: written by r1reward.recipes.ablation.page -->",
    "<!-- end of results -->",
)
_SHOWN = 4  # pairs before and after


class PageError(UserError):
    """There is nothing to show; the message says what to do."""


def results(
    found: Sequence[Cell],
    runs: Sequence[FinishedRun],
    start: Start,
    baseline: str,
) -> str:
    """Return the results in Markdown.

    Args:
        found: the cells of ``runs``.
        runs: of :func:`r1reward.recipes.ablation.summary.read_runs`.
        start: the start model's validation.
        baseline: the variant that others are compared with.
    """  # fmt: skip
    devices = ", ".join(sorted({run["device"] for run in runs}))
    right = round(start["accuracy"] * start["n"])
    low, high = wilson_interval(right, start["n"])
    parts = [
        f"{len(runs)} runs ({devices}). The start model judges {right} of the {start['n']} "
        f"validation pairs right: {start['accuracy']:.1%} ({low:.1%} to {high:.1%}), and chooses "
        f"the first response in {start['first']:.1%}.",
        "### Findings\n\n" + "\n".join(f"- {line}" for line in findings(found, baseline)),
        "### Final accuracy\n\nMean over seeds with its 95 % interval (t, cut at 0 and 100 %); "
        f"difference to {baseline} seed by seed, **bold** where its interval excludes 0.",
        "![final accuracy](final_accuracy.png)",
        *(_table(setting, group) for setting, group in by_setting(found)),
        "### Learning curves\n\nAccuracy of the training samples, mean and 95 % band over seeds; "
        f"dots: validation pairs. Grey: {baseline}.",
        "![learning curves](learning_curves.png)",
        "### Gradient norms\n\nBefore clipping: median and range over seeds.",
        "![gradient norms](gradient_norms.png)",
        "### Before and after\n\n" + strip(runs, start, baseline),
    ]
    return "\n\n".join(parts)


def findings(found: Sequence[Cell], baseline: str) -> Iterator[str]:
    """Yield what the numbers say, one line a statement."""
    for setting, group in by_setting(found):
        reference = next((cell for cell in group if cell.variant == baseline), None)
        others = [cell for cell in group if cell.variant != baseline]
        apart = [cell for cell in others if decided(cell.difference)]
        text = "; ".join(f"{cell.variant} {_difference(cell.difference)}" for cell in apart)
        yield (
            f"**{setting}**: {len(apart)} of {len(others)} variants differ from {baseline} in "
            f"final accuracy beyond their 95 % intervals{': ' if text else ''}{text}."
        )
        collapsed = [cell for cell in group if cell.collapsed]
        if collapsed:
            said = "; ".join(
                f"{cell.variant} {cell.collapsed} of {cell.accuracy.n} "
                f"({', '.join(f'{name} {number}' for name, number in cell.flags.items())})"
                for cell in collapsed
            )
            yield f"{setting}: collapsed runs: {said}."
        else:
            yield f"{setting}: no run collapsed."
        if reference is not None:
            yield (
                f"{setting}: in {baseline} the filter removed something in "
                f"{reference.filtered_steps:.1%} of the steps ({reference.filtered:.2%} of the "
                f"tokens, {reference.filtered_negative:.2%} of those with a negative advantage); "
                f"{_preclip(reference)}."
            )
    compared = [cell for cell in found if cell.variant != baseline]
    yield (
        f"{len(compared)} comparisons at 95 %: about {0.05 * len(compared):.1f} would exclude 0 "
        "by chance alone if no variant mattered."
    )


def _preclip(cell: Cell) -> str:
    if cell.preclipped_steps == 0:
        bound = (
            f"the largest |log-ratio| of any update was {cell.log_ratio_max:.2f}, the bound 6.91"
        )
        return f"Pre-CLIP never triggered ({bound})"
    return (
        f"Pre-CLIP held tokens in {cell.preclipped_steps:.1%} of the steps "
        f"({cell.preclipped:.3%} of the tokens)"
    )


def decided(difference: Mean | None) -> bool:
    """Return whether the interval of a difference excludes 0."""
    if difference is None or difference.low is None or difference.high is None:
        return False
    return difference.low > 0 or difference.high < 0


def by_setting(found: Sequence[Cell]) -> Iterator[tuple[str, list[Cell]]]:
    """Yield each setting with its cells."""
    for setting in dict.fromkeys(cell.setting for cell in found):
        yield setting, [cell for cell in found if cell.setting == setting]


def _table(setting: str, group: Sequence[Cell]) -> str:
    lines = [
        f"**{setting}**",
        "",
        "| variant | seeds | accuracy | 95 % interval | difference | first | consistent "
        "| collapsed | gradient norm | largest | filtered | beyond Pre-CLIP | PPO-clipped |",
        "| --- " * 13 + "|",
    ]
    for cell in group:
        mean = cell.accuracy
        interval = "" if mean.low is None else _interval(mean.low, mean.high or 0.0)
        lines.append(
            f"| {cell.variant} | {mean.n} | {mean.value:.1%} | {interval} "
            f"| {_difference(cell.difference)} | {cell.first:.0%} | {cell.consistent:.1%} "
            f"| {cell.collapsed} | {cell.grad_norm:.3g} | {cell.grad_norm_max:.3g} "
            f"| {cell.filtered:.2%} | {cell.preclipped:.3%} | {cell.clipped:.2%} |"
        )
    return "\n".join(lines)


def _interval(low: float, high: float) -> str:
    return f"{max(low, 0.0):.1%} to {min(high, 1.0):.1%}"  # t knows no bounds, accuracy does


def _difference(mean: Mean | None) -> str:
    if mean is None:
        return ""
    text = f"{100 * mean.value:+.1f}"
    if mean.low is not None and mean.high is not None:
        text += f" ({100 * mean.low:+.1f} to {100 * mean.high:+.1f})"
    return f"**{text}**" if decided(mean) else text


def strip(runs: Sequence[FinishedRun], start: Start, baseline: str) -> str:
    """Return validation pairs with the model's text before and after, as an HTML table.

    The first pairs that training turned right, and the first that it turned wrong, if any: of the
    first seed of ``baseline`` in the first setting there is.
    """
    run = next((run for run in runs if run["variant"] == baseline), None)
    if run is None:
        return f"No run of {baseline}."
    after = run["validations"][-1]["texts"]
    rows = list(zip(start["pairs"], start["texts"], after, strict=True))
    ending = "<answer>{}</answer>"
    turned = [(_right(b, pair, ending), _right(a, pair, ending)) for pair, b, a in rows]
    better = [i for i, (before, now) in enumerate(turned) if now and not before]
    worse = [i for i, (before, now) in enumerate(turned) if before and not now]
    head = (
        f"{run['setting']}, seed {run['seed']}: {len(better)} pairs turned right, {len(worse)} "
        "turned wrong. The first of each:"
    )
    lines = [
        head,
        "",
        "<table>",
        "<tr><th>photo</th><th>answers</th><th>before</th><th>after</th></tr>",
    ]
    for i in (*better[: _SHOWN - 1], *worse[:1]):
        pair, before, now = rows[i]
        texts = [f"{k}: {escape(text)}" for k, text in enumerate(pair["responses"], start=1)]
        texts[pair["label"] - 1] = f"<b>{texts[pair['label'] - 1]}</b>"
        answers = "<br>".join(texts)
        lines.append(
            f'<tr><td><img src="../photos/{pair["image"]}" width="110"></td><td>{answers}</td>'
            f"<td>{_text(before, turned[i][0])}</td><td>{_text(now, turned[i][1])}</td></tr>"
        )
    return "\n".join([*lines, "</table>"])


def _right(text: str, pair: Pair, ending: str) -> bool:
    return ending.format(pair["label"]) in text


def _text(text: str, right: bool) -> str:
    return f"{'right' if right else 'wrong'}: <code>{escape(text)}</code>"


def page(cfg: DictConfig) -> None:
    """Write data, plots and README."""
    folder, out = Path(cfg.runs), Path(cfg.out)
    runs = read_runs(folder)
    if not runs or not (folder / START).exists():
        raise PageError(f"runs={folder}: no finished run; make some: r1reward ablation")
    readme = out / "README.md"
    if not readme.is_file():
        raise PageError(f"out={out}: no README.md to write the results into; run it in a checkout")
    start: Start = json.loads((folder / START).read_text(encoding="utf-8"))
    runs = [run for run in runs if run["setting"] in cfg.settings]
    # The baseline first in each setting, as the plots want it.
    runs.sort(key=lambda r: (cfg.settings.index(r["setting"]), r["variant"] != cfg.baseline))
    found = cells(runs, cfg.baseline)
    write_text(out / "summary.json", _json([as_json(cell) for cell in found]))
    with replacing(out / "runs.json.gz") as part:
        part.write_bytes(gzip.compress(_json(compact(runs)).encode(), mtime=0))
    with replacing(out / "final_accuracy.png") as part:
        plots.final_accuracy(found, start["accuracy"], part)
    with replacing(out / "learning_curves.png") as part:
        plots.learning_curves(runs, start["accuracy"], part)
    with replacing(out / "gradient_norms.png") as part:
        plots.gradient_norms(runs, part)
    before, _, rest = readme.read_text(encoding="utf-8").partition(_BEGIN)
    _, _, behind = rest.partition(_END)
    text = results(found, runs, start, cfg.baseline)
    write_text(readme, f"{before}{_BEGIN}\n\n{text}\n\n{_END}{behind}")
    console_on(sys.stdout).print(f"{len(runs)} runs in {len(found)} cells: {readme}")


def _json(value: object) -> str:
    return json.dumps(value, indent=None, separators=(",", ":")) + "\n"


def main() -> None:
    """Run the command."""
    run_command("ablation_page", page)


if __name__ == "__main__":
    main()
