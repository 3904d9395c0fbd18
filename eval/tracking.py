"""Weights & Biases: the summary, the judgements and the report of one evaluation."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from r1reward.core.pair import Media
from r1reward.eval.report.browser import Judgements
from r1reward.eval.score.intervals import Rate
from r1reward.eval.score.results import Results
from r1reward.eval.score.scoring import Metrics, Score
from r1reward.pages.thumbnails import strip
from r1reward.run.provenance import provenance
from r1reward.run.tracking import show_table, wandb_environment

_PIXELS = 320  # longest side of a picture

_RATES = (
    *("accuracy", "accuracy_first", "accuracy_second", "consistent", "flips", "first_position"),
    *("parse_failures", "acc_plus", "consistent_plus"),
)
_COLUMNS = (
    *("index", "id", "group", "image", "question", "better", "worse"),
    *("better shown", "choice", "right", "response"),
)


def track(
    project: str,
    folder: Path,
    results: Results,
    score: Score,
    judgements: Judgements,
    report: Path,
) -> None:
    """Send one evaluation; offline, into ``folder``, where there is no key. Nothing prompts.

    The same folder is the same W&B run, so that a resumed evaluation does not make a second one.
    """
    import wandb

    config = results["config"]
    tags = (score.benchmark, results["judge"].partition("@")[0], config["protocol"]["name"])
    variables = wandb_environment(folder, score.benchmark, "eval", tags)
    with (
        _environment(variables),
        wandb.init(
            project=project, name=folder.name, config=config | {"provenance": provenance()}
        ) as run,
    ):
        run.summary.update(
            dict(summary(score)) | {f"usage/{k}": v for k, v in results["usage"].items()}
        )
        show_table({"wandb": wandb}, "judgements", _COLUMNS, _rows(judgements))
        run.log({"report": wandb.Html(str(report))})
    wandb.teardown()  # it has read the environment, which is over


@contextmanager
def _environment(variables: Mapping[str, str]) -> Iterator[None]:
    before = dict(os.environ)
    os.environ.update(variables)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def summary(score: Score) -> Iterator[tuple[str, float]]:
    """Yield every rate by name, and the ends of its interval."""
    yield from _metrics("", score.overall)
    for grouping in score.groupings:
        for name, rate in (("micro", grouping.micro), ("macro", grouping.macro)):
            yield from _rate(f"{grouping.name}/{name}", rate)
        for group in grouping.groups:
            yield from _metrics(f"{grouping.name}/{group.name}/", group)


def _metrics(prefix: str, metrics: Metrics) -> Iterator[tuple[str, float]]:
    for name in _RATES:
        yield from _rate(prefix + name, getattr(metrics, name))


def _rate(name: str, rate: Rate | None) -> Iterator[tuple[str, float]]:
    if rate is not None and rate.value is not None:
        yield name, rate.value
        if rate.interval is not None:
            yield f"{name}/low", rate.interval.low
            yield f"{name}/high", rate.interval.high


def _rows(judgements: Judgements) -> Iterator[list[object]]:
    for item in judgements["items"]:
        sources = [judgements["images"][name]["src"] for name in item["images"]]
        picture = strip([Media("image", source) for source in sources if source], None, _PIXELS)
        for prompt in item["prompts"]:
            for vote in prompt["votes"]:
                right = None if vote["choice"] is None else vote["choice"] == prompt["better"]
                yield [
                    *(item["index"], item["id"], item["facets"]["group"]),
                    *(picture, item["question"], *item["responses"]),
                    *(prompt["better"], vote["choice"], right, vote["text"]),
                ]
