"""Make training sets of data sets: ``r1reward mix inputs=[a,b] out=c select=rl``.

Exit status: 0 when the mix is there, 2 for a configuration or data that cannot be used.
"""

import sys
from collections.abc import Mapping
from itertools import chain
from pathlib import Path
from typing import Any

from omegaconf import DictConfig
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from r1reward.cli.command import run_command, typed
from r1reward.config.tree import plain
from r1reward.core.intervals import wilson_interval
from r1reward.data.mix.keys import Fate, counts, fates
from r1reward.data.mix.run import DROPPED, Mix, mix
from r1reward.data.mix.select import Input, MixError, Selection, Settings
from r1reward.data.workers import peak_bytes, workers_of
from r1reward.machine.console import Live, console_on
from r1reward.store.shards import media_folder


def inputs_of(given: object) -> list[Input]:
    """Return the inputs of the configuration.

    Raises:
        MixError: when they are not what `conf/mix.yaml` says.
    """
    if not isinstance(given, list) or not given:
        raise MixError(f"inputs={given}: give a list of paths, or of {{path, weight, media_root}}")
    inputs = []
    for item in given:
        entry = item if isinstance(item, dict) else {"path": item}
        if unknown := sorted(entry.keys() - {"path", "weight", "media_root"}):
            raise MixError(f"inputs: unknown {', '.join(unknown)}; take path, weight, media_root")
        if not entry.get("path"):
            raise MixError(f"inputs: {item} has no path")
        path, weight = Path(entry["path"]), entry.get("weight")
        if weight is not None and not (isinstance(weight, int | float) and weight > 0):
            raise MixError(f"inputs: weight={weight} of {path}; give a number over 0")
        root = media_folder(path, entry.get("media_root"))
        inputs.append(Input(path, root, weight))
    paths = [item.path.resolve() for item in inputs]
    if twice := {str(path) for path in paths if paths.count(path) > 1}:
        raise MixError(f"inputs: {', '.join(sorted(twice))} is there more than once")
    if len({item.weight is None for item in inputs}) > 1:
        raise MixError("inputs: give all of them a weight, or none")
    return inputs


def settings_of(cfg: Mapping[str, Any], weighted: bool) -> Settings:
    """Return the settings of a resolved configuration.

    Raises:
        MixError: naming the key that cannot be.
    """
    take, fraction = cfg["take"] or {}, cfg["fraction"] or {}
    split = cfg["split"] or {"train": 1.0}
    for names, number in take.items():
        _require(_whole(number, 1), f"take.{names}={number}", "give a number of rows, 1 or more")
    for names, share in fraction.items():
        good = isinstance(share, int | float) and 0 < share <= 1
        _require(good, f"fraction.{names}={share}", "give a share over 0, at most 1")
    drawn = [name for names in (*take, *fraction) for name in names.split("+")]
    if twice := {name for name in drawn if drawn.count(name) > 1}:
        raise MixError(f"take and fraction: {', '.join(sorted(twice))} is drawn more than once")
    if drawn and (weighted or cfg["rows"] is not None):
        raise MixError("take and fraction go by source; give them, or weights and rows, not both")
    for name, share in split.items():
        _require(
            isinstance(share, int | float) and 0 < share <= 1 and name == Path(name).name,
            f"split.{name}={share}", "give a folder name and a share over 0",
        )  # fmt: skip
    total = sum(split.values())
    _require(abs(total - 1) < 1e-6, f"split: the shares add up to {total:g}", "make it 1")
    unknown = set(cfg["stratify"]) - {"source", "difficulty"}
    _require(not unknown, f"stratify={cfg['stratify']}", "take source, difficulty, both or neither")
    for key, least in (("rows", 1), ("stock_questions", 1)):
        good = cfg[key] is None or _whole(cfg[key], least)
        _require(good, f"{key}={cfg[key]}", f"give a number, {least} or more, or null")
    _require(_whole(cfg["shard_mb"], 1), f"shard_mb={cfg['shard_mb']}", "give 1 or more")
    flags = {"embed": cfg["embed"]}
    flags |= {f"select.{key}": cfg["select"][key] for key in cfg["select"] if key != "attempts"}
    for key, value in flags.items():
        _require(isinstance(value, bool), f"{key}={value}", "give true or false")
    both = cfg["select"]["reasoning"] and cfg["select"]["reorder"]
    _require(not both, "select.reorder=true", "a reasoning (select.reasoning) is about one order")
    _require(_whole(cfg["seed"], 0), f"seed={cfg['seed']}", "give 0 or more")
    return Settings(
        select=_selection(cfg["select"]),
        sources=None if cfg["sources"] is None else tuple(cfg["sources"]),
        take=take, fraction=fraction, rows=cfg["rows"], stratify=tuple(cfg["stratify"]),
        split=split, stock=cfg["stock_questions"], seed=cfg["seed"], embed=cfg["embed"],
        shard_bytes=cfg["shard_mb"] << 20,
    )  # fmt: skip


def _selection(cfg: Mapping[str, Any]) -> Selection:
    attempts = cfg["attempts"]
    good = attempts is None or (
        isinstance(attempts, list)
        and len(attempts) == 2
        and all(_whole(number, 1) for number in attempts)
        and attempts[0] <= attempts[1]
    )
    _require(good, f"select.attempts={attempts}", "give fewest and most, such as [2, 127], or null")
    return Selection(**{**cfg, "attempts": None if attempts is None else tuple(attempts)})


def _whole(value: object, least: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= least


def _require(good: bool, what: str, advice: str) -> None:
    if not good:
        raise MixError(f"{what}; {advice}")


def show(console: Console, made: Mix, out: Path, seconds: float) -> None:
    """Print what is in each part, and what became of the rest."""
    keys, parts = made.keys, {name: counts(made.keys, rows) for name, rows in made.parts.items()}
    read = counts(keys, (keys.rows["fate"] != Fate.BAD).nonzero()[0])
    table = Table("source", title="rows")
    for name in ("read", *parts):
        table.add_column(escape(name), justify="right")
    for source in read["sources"]:
        numbers = (found["sources"].get(source, 0) for found in (read, *parts.values()))
        table.add_row(escape(source), *map("{:,}".format, numbers))
    table.add_section()
    table.add_row("all", *(f"{found['rows']:,}" for found in (read, *parts.values())))
    console.print(table)
    levels = dict.fromkeys(chain.from_iterable(found["difficulty"] for found in parts.values()))
    table = Table("part", "label 1 (95%)", *levels, "shards", "MiB", title="labels and difficulty")
    for name, found in parts.items():
        ones, rows = found["labels"]["1"], found["rows"]
        low, high = wilson_interval(ones, rows)
        label = f"{ones / rows:.1%} ({100 * low:.1f} to {100 * high:.1f})"
        grades = [f"{found['difficulty'].get(key, 0):,}" for key in levels]
        shards = made.shards[name]
        size = sum(shard.bytes for shard in shards) / 2**20
        table.add_row(escape(name), label, *grades, str(len(shards)), f"{size:,.1f}")
    console.print(table)
    if gone := fates(keys):
        reasons = ", ".join(f"{name} {number:,}" for name, number in gone)
        console.print(f"in no part: {reasons} (each in {out / DROPPED})", markup=False)
    for note in made.notes:
        console.print("[yellow]warning[/]", end=" ")
        console.print(note, markup=False)
    if made.reused:
        console.print(f"{made.reused} shards were there already")
    memory = peak_bytes() / 2**20
    console.print(
        f"{out}: {len(keys.rows):,} rows in, {sum(map(len, made.parts.values())):,} out, "
        f"{seconds:.1f} s, {len(keys.rows) / seconds:,.0f} rows/s, {memory:,.0f} MiB at most "
        "in a process",
        markup=False,
    )


def make(cfg: DictConfig) -> None:
    """Make the mix and print its tables."""
    given = plain(cfg, complete=True)
    inputs = inputs_of(given["inputs"])
    settings = settings_of(given, weighted=inputs[0].weight is not None)
    console, out = console_on(sys.stdout), Path(given["out"])
    with Live(console) as live:
        command = typed("mix")
        made = mix(inputs, settings, out, workers_of(cfg.workers), command, live)
    show(console, made, out, live.seconds)


def main() -> None:
    """Run the command."""
    run_command("mix", make)


if __name__ == "__main__":
    main()
