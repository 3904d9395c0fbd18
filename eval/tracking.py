"""Weights & Biases: the summary, the judgements and the report of one evaluation."""

import base64
import hashlib
import io
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from PIL import Image

from eval.intervals import Rate
from eval.scoring import Metrics, Score
from r1reward.session import has_wandb_key

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
    results: Mapping[str, Any],
    score: Score,
    judgements: Mapping[str, Any],
    report: Path,
) -> None:
    """Send one evaluation; offline, into ``folder``, where there is no key. Nothing prompts.

    The same folder is the same W&B run, so that a resumed evaluation does not make a second one.
    """
    import wandb

    mode: Any = os.environ.get("WANDB_MODE") or ("online" if has_wandb_key() else "offline")
    with wandb.init(
        project=project,
        name=folder.name,
        group=score.benchmark,
        job_type="eval",
        id=hashlib.sha256(str(folder.resolve()).encode()).hexdigest()[:12],
        resume="allow",
        dir=str(folder),
        mode=mode,
        config=results["config"],
        settings=wandb.Settings(silent=True, console="off"),
    ) as run:
        run.summary.update(
            dict(summary(score)) | {f"usage/{k}": v for k, v in results["usage"].items()}
        )
        table = wandb.Table(columns=list(_COLUMNS))
        for row in _rows(judgements, wandb.Image):
            table.add_data(*row)
        run.log({"judgements": table, "report": wandb.Html(str(report))})


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


def _rows(judgements: Mapping[str, Any], image: Any) -> Iterator[list[Any]]:
    for item in judgements["items"]:
        shown = [judgements["images"][name]["src"] for name in item["images"]]
        sources = [source for source in shown if source]
        picture = image(_picture(sources[0])) if sources else None  # a cell holds one
        for prompt in item["prompts"]:
            for vote in prompt["votes"]:
                right = None if vote["choice"] is None else vote["choice"] == prompt["better"]
                yield [
                    *(
                        item["index"],
                        item["id"],
                        item["facets"]["group"],
                        picture,
                        item["question"],
                    ),
                    *item["responses"],
                    *(prompt["better"], vote["choice"], right, vote["text"]),
                ]


def _picture(source: str) -> Image.Image:
    return Image.open(io.BytesIO(base64.b64decode(source.partition("base64,")[2])))
