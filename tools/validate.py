"""Check preference records and list every bad row: ``r1reward validate files=[a.jsonl,b/]``.

``data=photos`` checks the files of an option of conf/data; ``fix=true out=folder`` writes the good
rows as a data set. Exit status: 0 when no row is bad, or when the good ones are written, 1 when
some are bad, 2 when nothing could be checked. Warnings do not change it.
"""

import hashlib
import json
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import TextIO

import numpy as np
from omegaconf import DictConfig
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from r1reward.cli.command import run_command, typed
from r1reward.core.errors import ConfigError
from r1reward.data.validate.findings import ERRORS, WARNINGS, Finding
from r1reward.data.validate.repair import QUARANTINE, is_done, write_good
from r1reward.data.validate.rows import Rules, known_languages
from r1reward.data.validate.run import Part, Validation, check, parts_of
from r1reward.data.workers import peak_bytes, workers_of
from r1reward.machine.console import Live, console_on
from r1reward.store.files import replacing

_EVERY = 10.0  # seconds between lines where there is no terminal
_LISTED = 12  # sources, languages


def validate(cfg: DictConfig) -> None:
    """Check what the configuration names.

    Raises:
        SystemExit: with status 1 when rows are bad.
    """
    console = console_on(sys.stdout)
    files, media_root = _inputs(cfg)
    rules, workers = _rules(cfg), workers_of(cfg.workers)
    parts, lost, found = parts_of(files, media_root)
    if cfg.report and Path(cfg.report).resolve() in {file.resolve() for file in found}:
        raise ConfigError(f"report={cfg.report}: that is what is checked; name another file")
    facts = _facts(cfg, parts, found, rules) if cfg.fix else {}
    if cfg.fix and is_done(Path(cfg.out), facts):
        console.print(f"{cfg.out}: made from the same files before, nothing to do", markup=False)
        return
    validation = Validation(cfg.near_duplicates)
    with _Report(console, cfg.report, cfg.shown) as report, Live(console) as live:
        report.add(validation.note(lost))
        for done, unit in enumerate(check(parts, rules, workers), start=1):
            report.add(validation.add(unit))
            live(_line(validation, done, len(parts), live.seconds))
        report.add(validation.finish(found))
    console.print(table(validation, live.seconds))
    if cfg.fix:
        command = typed("validate")
        rows, dropped = write_good(
            parts, validation.bad, validation.lost, Path(cfg.out), workers, **facts, command=command
        )
        console.print(
            f"{cfg.out}: {rows:,} good rows; {dropped:,} others in {cfg.out}/{QUARANTINE}; "
            f"media paths start from {facts['media_root']}",
            markup=False,
        )
    elif validation.errors:
        raise SystemExit(1)


def _inputs(cfg: DictConfig) -> tuple[list[Path], Path | None]:
    files = [cfg.files] if isinstance(cfg.files, str) else list(cfg.files)
    data = cfg.get("data")
    if bool(files) == bool(data):
        raise ConfigError("give files=[a.jsonl,...] or a data option such as data=photos")
    root = cfg.media_root
    if data:
        for key in ("train_files", "val_files"):
            files += [data[key]] if isinstance(data[key], str) else list(data[key] or ())
        root = root or data.media_root
    return [Path(str(file)).expanduser() for file in files], Path(root) if root else None


def _rules(cfg: DictConfig) -> Rules:
    near, fewest, most = cfg.near_duplicates, cfg.min_pixels, cfg.max_pixels
    if near is not None and not 0 < near <= 1:
        raise ConfigError(f"near_duplicates={near}: give a share over 0 and at most 1, or null")
    if fewest is not None and most is not None and fewest > most:
        raise ConfigError(f"min_pixels={fewest} is more than max_pixels={most}")
    if bool(cfg.fix) != bool(cfg.out):
        raise ConfigError("fix=true and out=folder go together")
    if cfg.languages and (unknown := sorted({*cfg.languages} - known_languages())):
        raise ConfigError(f"languages: nobody knows {', '.join(unknown)}; give codes like en, zh")
    return Rules(
        cfg.max_tokens, cfg.processor, fewest, most, tuple(cfg.languages), near is not None
    )


def _facts(
    cfg: DictConfig, parts: list[Part], files: list[Path], rules: Rules
) -> dict[str, object]:
    """Return what a written data set depends on, as its manifest has it."""
    roots = sorted({str(Path(part.root).resolve()) for part in parts})
    if len(roots) > 1:
        raise ConfigError(f"the files' media lie in {', '.join(roots)}: set media_root above all")
    return {
        "settings": json.loads(json.dumps(asdict(rules))),
        "inputs": [
            {"path": str(file), "bytes": file.stat().st_size, "sha256": _sha256(file)}
            for file in files
        ],
        "media_root": roots[0] if roots else None,
    }


def _sha256(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


class _Report:
    """Prints findings, and writes all of them to a file where one is wanted."""

    def __init__(self, console: Console, path: str | None, shown: int) -> None:
        self._console, self._path, self._shown = console, path, shown
        self._counts: Counter[str] = Counter()

    def __enter__(self) -> "_Report":
        self._stack = ExitStack()
        self._file: TextIO | None = None
        if self._path:
            part = self._stack.enter_context(replacing(self._path))
            self._file = self._stack.enter_context(open(part, "w", encoding="utf-8"))
        return self

    def __exit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stack.__exit__(error_type, error, trace)
        for kind, number in self._counts.items():
            if kind in WARNINGS and number > self._shown:
                self._warn(f"{number - self._shown:,} more of {kind}; report=FILE has all")

    def add(self, findings: Iterable[Finding]) -> None:
        """Print errors, and the first warnings of a kind."""
        for finding in findings:
            self._counts[finding.kind] += 1
            if self._file:
                fields = {"where": finding.where, "uid": finding.uid, "kind": finding.kind}
                print(json.dumps(fields | {"detail": finding.detail}), file=self._file)
            if finding.is_error:
                self._console.print(f"[red]bad[/] {escape(str(finding))}", soft_wrap=True)
            elif self._counts[finding.kind] <= self._shown:
                self._warn(str(finding))

    def _warn(self, text: str) -> None:
        self._console.print(f"[yellow]warning[/] {escape(text)}", soft_wrap=True)


def _line(validation: Validation, done: int, units: int, seconds: float) -> str:
    rate = validation.rows / max(seconds, 1e-9)
    return (
        f"{done}/{units} parts, {validation.rows:,} rows ({rate:,.0f}/s), "
        f"{validation.errors:,} errors"
    )


def table(validation: Validation, seconds: float) -> Table:
    """Return what was found, in numbers."""
    shown = Table(show_header=False)
    for name, value in _numbers(validation, seconds):
        shown.add_row(Text(name), Text(value))
    return shown


def _numbers(validation: Validation, seconds: float) -> Iterator[tuple[str, str]]:
    bad = sum(len(rows) for rows in validation.bad.values())
    yield "rows", f"{validation.rows:,}, {bad:,} bad"
    for name, kinds in (("errors", ERRORS), ("warnings", WARNINGS)):
        for kind, meaning in kinds.items():
            if number := validation.counts[kind]:
                yield name, f"{number:,} {kind}: {meaning}"
    labels, sources = Counter[str](), Counter[str]()
    for (source, label), number in validation.labels.items():
        labels[f"label {label}"] += number
        sources[source] += number
    yield "labels", _counts(dict(sorted(labels.items())))
    yield "sources", _counts(dict(sources.most_common()))
    yield "languages", _counts(dict(validation.languages.most_common()))
    yield "images and videos", f"{validation.media:,}"
    if len(tokens := validation.tokens):
        middle, longest = np.median(tokens), tokens.max()
        yield "tokens of a prompt", f"{middle:,.0f} in the middle, {longest:,} at most"
    yield "time", f"{seconds:.1f} s, {validation.rows / max(seconds, 1e-9):,.0f} rows/s"
    yield "peak memory", f"{peak_bytes() >> 20:,} MiB at most in a process"


def _counts(counts: dict[str, int]) -> str:
    parts = [f"{name} {number:,}" for name, number in counts.items()]
    more = [f"{len(parts) - _LISTED} more"] if len(parts) > _LISTED else []
    return ", ".join(parts[:_LISTED] + more) or "none"


def main() -> None:
    """Run the command line.

    Raises:
        SystemExit: with status 1 when rows are bad, 2 when nothing could be checked.
    """
    run_command("validate", validate)


if __name__ == "__main__":
    main()
