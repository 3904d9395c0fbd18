"""Accuracy of a consistency check on labelled cases: ``r1reward consistency-check``.

The cases (recipes/consistency_cases) are written by hand, and no check is tuned to them. Exit
status: 0 when the check gave its word on all but ``max_failures`` cases, however often it was
wrong; 1 when it did not; 2 for a configuration or cases that cannot be used.
"""

import asyncio
import json
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TypedDict

import numpy as np
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf
from rich.console import Console
from rich.table import Table

from r1reward.cli.command import run_command
from r1reward.consistency.base import Agreement, Case, ConsistencyCheck
from r1reward.consistency.rule import RuleCheck
from r1reward.core.errors import UserError
from r1reward.core.intervals import wilson_interval
from r1reward.core.rows import RowError, scan_rows
from r1reward.machine.console import Live, console_on
from r1reward.store.files import write_text

SCHEMA = 1
_SHOWN = 100  # characters of a reasoning
_TYPES = {"id": str, "kind": str, "reasoning": str, "answer": int, "consistent": bool}
_CALLED = {str: "a text", int: "1 or 2", bool: "true or false"}


class CasesError(UserError):
    """Cases that cannot be used, with what to change."""


@dataclass(frozen=True, slots=True)
class Labelled:
    """A case and what is true of it."""

    id: str
    kind: str
    case: Case
    consistent: bool


def read_cases(path: Path | str) -> list[Labelled]:
    """Return the labelled cases of a file.

    Raises:
        CasesError: for a row that is none.
        RowError: for a file that cannot be read.
    """
    found: dict[str, Labelled] = {}
    for where, row in scan_rows(path):
        if isinstance(row, RowError):
            raise row
        if not isinstance(row, dict):
            raise CasesError(f"{where}: not a JSON object")
        for key, kind in _TYPES.items():
            if type(row.get(key)) is not kind:
                raise CasesError(f"{where}: {key} is {row.get(key)!r}; give {_CALLED[kind]}")
        if row["answer"] not in (1, 2):
            raise CasesError(f"{where}: answer is {row['answer']}; give 1 or 2")
        if row["id"] in found:
            raise CasesError(f"{where}: the id {row['id']} is there already")
        case = Case(row["reasoning"], row["answer"])
        found[row["id"]] = Labelled(row["id"], row["kind"], case, row["consistent"])
    if not found:
        raise CasesError(f"{path}: no cases")
    return list(found.values())


class Rate(TypedDict):
    """Cases, those that a check got right, their share, and its 95% interval (low, high)."""

    n: int
    right: int
    accuracy: float
    interval: list[float]


class Agreed(TypedDict):
    """How far two checks say the same: cases that both checked, share, Cohen's kappa."""

    n: int
    agree: float | None
    kappa: float | None


class Calls(TypedDict):
    """What asking took: requests, their latency in seconds, tokens, dollars."""

    asked: int
    cached: int
    retries: int
    p50_s: float | None
    p95_s: float | None
    prompt_tokens: int
    completion_tokens: int
    cost: float


class Report(Rate):
    """All figures of a check; ``kinds`` and ``failures`` are by name."""

    wrongly_consistent: int
    wrongly_inconsistent: int
    no_word: int
    kinds: dict[str, Rate]
    rule_judge: Agreed
    failures: dict[str, int]
    calls: Calls | None


def right(labelled: Sequence[Labelled], agreements: Sequence[Agreement]) -> list[bool]:
    """Return for each case whether the check's word is true; no word is not."""
    pairs = zip(labelled, agreements, strict=True)
    return [agreement.consistent is one.consistent for one, agreement in pairs]


def rate(correct: Sequence[bool]) -> Rate:
    """Return count, share and 95% Wilson interval of what is right."""
    low, high = wilson_interval(sum(correct), len(correct))
    return {
        "n": len(correct),
        "right": sum(correct),
        "accuracy": sum(correct) / len(correct),
        "interval": [low, high],
    }


def agreement(first: Sequence[bool | None], second: Sequence[bool | None]) -> Agreed:
    """Return the share of equal words and Cohen's kappa, over the cases that both checked.

    Kappa is what they agree beyond chance; None when one of the two words is all that both say.
    """
    both = [(a, b) for a, b in zip(first, second, strict=True) if a is not None and b is not None]
    if not both:
        return {"n": 0, "agree": None, "kappa": None}
    agree = sum(a == b for a, b in both) / len(both)
    ones = [sum(column) / len(both) for column in zip(*both, strict=True)]
    chance = ones[0] * ones[1] + (1 - ones[0]) * (1 - ones[1])
    kappa = None if chance == 1 else (agree - chance) / (1 - chance)
    return {"n": len(both), "agree": agree, "kappa": kappa}


def calls(agreements: Sequence[Agreement]) -> Calls | None:
    """Return what asking took for the agreements of all cases, None when nobody was asked."""
    made = [agreement.call for agreement in agreements if agreement.call is not None]
    if not made:
        return None
    asked = [call.seconds for call in made if not call.cached and call.seconds > 0]
    p50, p95 = np.percentile(asked, [50, 95]).tolist() if asked else (None, None)
    return {
        "asked": len(asked),
        "cached": sum(call.cached for call in made),
        "retries": sum(call.retries for call in made),
        "p50_s": p50,
        "p95_s": p95,
        "prompt_tokens": sum(call.prompt_tokens for call in made),
        "completion_tokens": sum(call.completion_tokens for call in made),
        "cost": sum(call.cost for call in made),
    }


def report(labelled: Sequence[Labelled], agreements: Sequence[Agreement]) -> Report:
    """Return all figures of a check, as check.json holds them."""
    correct = right(labelled, agreements)
    kinds = list(dict.fromkeys(one.kind for one in labelled))
    words = [agreement.consistent for agreement in agreements]
    rule = asyncio.run(RuleCheck().check([one.case for one in labelled]))
    truth = [one.consistent for one in labelled]
    return {
        **rate(correct),
        "wrongly_consistent": sum(
            w is True and t is False for w, t in zip(words, truth, strict=True)
        ),
        "wrongly_inconsistent": sum(
            w is False and t is True for w, t in zip(words, truth, strict=True)
        ),
        "no_word": words.count(None),
        "kinds": {
            kind: rate([ok for one, ok in zip(labelled, correct, strict=True) if one.kind == kind])
            for kind in kinds
        },
        "rule_judge": agreement(words, [agreement.consistent for agreement in rule]),
        "failures": dict(Counter(j.failure for j in agreements if j.failure is not None)),
        "calls": calls(agreements),
    }


def show(console: Console, found: Report, check: str) -> None:
    """Print the figures of the check that is called ``consistency``."""
    table = Table(title=check, title_justify="left", title_style="bold")
    for column in ("kind", "n", "right", "accuracy", "95% interval"):
        table.add_column(column, justify="left" if column == "kind" else "right")
    for kind, one in found["kinds"].items():
        table.add_row(*_cells(kind, one))
    table.add_section()
    table.add_row(*_cells("all", found), style="bold")
    console.print(table)
    console.print(
        f"wrongly consistent {found['wrongly_consistent']}, wrongly inconsistent "
        f"{found['wrongly_inconsistent']}, no word {found['no_word']}"
    )
    for kind, count in sorted(found["failures"].items()):
        console.print(f"  failure {kind}: {count}", markup=False)
    rule = found["rule_judge"]
    if rule["n"] and check != RuleCheck.__name__:
        kappa = "undefined" if rule["kappa"] is None else f"{rule['kappa']:.2f}"
        console.print(
            f"same word as consistency=rule: {rule['agree']:.1%} of {rule['n']}, kappa {kappa}"
        )
    if asking := found["calls"]:
        _show_calls(console, asking)


def _cells(name: str, one: Rate) -> list[str]:
    low, high = one["interval"]
    return [
        name,
        str(one["n"]),
        str(one["right"]),
        f"{one['accuracy']:.1%}",
        f"{low:.1%} to {high:.1%}",
    ]


def _show_calls(console: Console, asking: Calls) -> None:
    console.print(
        f"asked {asking['asked']}, in the cache {asking['cached']}, retries {asking['retries']}, "
        f"tokens {asking['prompt_tokens']:,} read and {asking['completion_tokens']:,} written"
    )
    if asking["asked"]:
        console.print(f"seconds p50 {asking['p50_s']:.3f}, p95 {asking['p95_s']:.3f}")
    if asking["cost"]:
        console.print(f"cost ${asking['cost']:.4f}, at the prices given")


def show_wrong(
    console: Console, labelled: Sequence[Labelled], agreements: Sequence[Agreement]
) -> None:
    """List the cases that the check got wrong, or gave no word on."""
    for one, agreement in zip(labelled, agreements, strict=True):
        if agreement.consistent is one.consistent:
            continue
        text = " ".join(one.case.reasoning.split())
        text = text if len(text) <= _SHOWN else f"... {text[-_SHOWN:]}"
        said = agreement.failure or _word(agreement.consistent)
        console.print(
            f"  {one.id}: said {said}, is {_word(one.consistent)} "
            f"(answer {one.case.answer}): {text}",
            markup=False,
        )


def _word(consistent: bool | None) -> str:
    return {True: "consistent", False: "inconsistent", None: "nothing"}[consistent]


async def consistency_all(
    check: ConsistencyCheck, labelled: Sequence[Labelled], console: Console
) -> list[Agreement]:
    """Ask about each case in a call of its own, all at a time, as training does."""
    done = 0
    with Live(console) as live:

        async def one(case: Case) -> Agreement:
            nonlocal done
            [agreement] = await check.check([case])
            done += 1
            live(f"{done} of {len(labelled)} checked")
            return agreement

        try:
            return list(await asyncio.gather(*(one(item.case) for item in labelled)))
        finally:
            if close := getattr(check, "close", None):  # checks that ask nobody have none
                await close()


def check(cfg: DictConfig) -> None:
    """Run one check.

    Raises:
        SystemExit: with status 1 when the check failed on more than ``max_failures`` cases.
    """
    console = console_on(sys.stdout)
    labelled = read_cases(cfg.cases)
    check = instantiate(cfg.consistency)
    agreements = asyncio.run(consistency_all(check, labelled, console))
    found = report(labelled, agreements)
    name = f"{type(check).__name__} {cfg.consistency.get('model', '')}".strip()
    show(console, found, name)
    if found["right"] < found["n"]:
        console.print("wrong:")
        show_wrong(console, labelled, agreements)
    if warnings := getattr(check, "cache_warnings", 0):
        console.print(f"[yellow]warning[/] the cache could not be used {warnings} times")
    path = Path(cfg.run.dir, "check.json")
    rows = [
        {"id": one.id, "right": ok, **asdict(agreement)}
        for one, ok, agreement in zip(
            labelled, right(labelled, agreements), agreements, strict=True
        )
    ]
    settings = OmegaConf.to_container(cfg)
    content = {"schema": SCHEMA, "settings": settings, "figures": found, "cases": rows}
    write_text(path, json.dumps(content, indent=1, ensure_ascii=False) + "\n")
    console.print(str(path), markup=False)
    if found["no_word"] > cfg.max_failures:
        message = f"no word on {found['no_word']} cases, more than max_failures={cfg.max_failures}"
        console.print(f"[red]{message}[/]")
        raise SystemExit(1)


def main() -> None:
    """Run the command line."""
    run_command("consistency_check", check)


if __name__ == "__main__":
    main()
