"""Speed of the remote check: ``r1reward bench-consistency``.

One server, which takes the same time for every answer however many it works on, and which checks

* ``ours``: many calls at a time on one event loop, as verl's reward loop makes them. The first
  batch is shown apart: a check begins with few requests in flight and finds out what is borne;
* ``streamed``: the same calls while the answers to be checked are still being generated, evenly
  over ``generation_s``; what counts is how long the last agreement comes after the last answer;
* ``released``: one call after the other, each with a client of its own that first asks for the
  list of models, as the original release does. Of fewer cases: each takes as long as any other.

Server and check share the machine, so its cores and its load are part of the figures.
"""

import asyncio
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TypedDict

from hydra.utils import instantiate
from omegaconf import DictConfig
from rich.table import Table

from r1reward.cli.command import run_command
from r1reward.consistency.base import Agreement, Case
from r1reward.consistency.openai import OpenAICheck
from r1reward.core.errors import ConfigError
from r1reward.machine.console import console_on
from r1reward.tools.bench.kept import Figure, conclude, content, file_of, write
from r1reward.tools.bench.machine import Machine, here

_PACKAGES = ("aiohttp", "openai", "fastapi", "uvicorn")
_TITLES = {"first": "ours, first batch", "ours": "ours", "released": "as released"}
_FILLER = "Response {} names what the picture shows, and Response {} leaves half of it out. " * 30


class Speed(TypedDict):
    """How fast a contestant is, in agreements a second, and how far from the ideal."""

    n: int
    seconds: list[float]
    median_s: float
    per_second: float
    times_ideal: float


def make_cases(name: str, count: int) -> list[Case]:
    """Return so many cases of about 2,400 characters; every other one is consistent."""
    return [
        Case(f"{name} {number}. {_FILLER.format(*[1, 2] * 30)}\nResponse {chosen} is better.", 1)
        for number in range(count)
        for chosen in [1 + number % 2]
    ]


@contextmanager
def serving(seconds: float) -> Iterator[str]:
    """Run the server in a process of its own; yield its address.

    Raises:
        ConfigError: when it does not start.
    """
    command = [sys.executable, "-m", "r1reward.tools.bench.server", str(seconds)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            url = process.stdout.readline().strip()
            if not url:
                raise ConfigError("the server did not start; what it says is above")
            yield url
        finally:
            process.kill()


async def ours(cfg: DictConfig, check: OpenAICheck) -> tuple[dict[str, list[float]], list[float]]:
    """Return the seconds of the first batch and of all timed ones; and those beyond generation."""

    async def batch(name: str, over: float = 0.0) -> float:
        count, began = cfg.samples, time.monotonic()

        async def arrive(number: int, case: Case) -> list[Agreement]:
            await asyncio.sleep(over * (number + 1) / count - (time.monotonic() - began))
            return await check.check([case])

        cases = enumerate(make_cases(name, count))
        found = await asyncio.gather(*(arrive(number, case) for number, case in cases))
        took = time.monotonic() - began
        if [item.consistent for [item] in found] != [n % 2 == 0 for n in range(count)]:
            raise ConfigError(
                f"{name}: agreements are missing or wrong; is the deadline too short?"
            )
        return took

    first = await batch("first")
    timed = [await batch(f"timed{number}") for number in range(cfg.rounds)]
    streamed = [await batch(f"streamed{number}", cfg.generation_s) for number in range(cfg.rounds)]
    await check.close()
    return {"first": [first], "ours": timed}, [one - cfg.generation_s for one in streamed]


def released(cfg: DictConfig, url: str) -> float:
    """Return the seconds for all cases one after the other, as the original release asks."""
    from openai import OpenAI

    from r1reward.consistency.prompts import PRESETS, seen

    preset = PRESETS["released"]
    began = time.monotonic()
    for number, case in enumerate(make_cases("released", cfg.blocking_samples)):
        client = OpenAI(api_key="EMPTY", base_url=url)
        model = client.models.list().data[0].id
        prompt = preset.write(seen(case, preset.view))
        got = client.chat.completions.create(
            model=model,
            messages=[{"role": "user", "content": [{"type": "text", "text": prompt}]}],
            max_tokens=preset.max_tokens,
            temperature=preset.temperature,
        )
        if preset.read(got.choices[0].message.content or "", case) is not (number % 2 == 0):
            raise ConfigError(f"released: the agreement of case {number} is wrong")
    return time.monotonic() - began


def figures(cfg: DictConfig, runs: dict[str, list[float]]) -> dict[str, Speed]:
    """Return speed and distance from the ideal of each contestant."""
    ideal = cfg.seconds / cfg.consistency.concurrency  # for one case
    found: dict[str, Speed] = {}
    for name, seconds in runs.items():
        n = cfg.blocking_samples if name == "released" else cfg.samples
        median = statistics.median(seconds)
        found[name] = {
            "n": n,
            "seconds": seconds,
            "median_s": median,
            "per_second": n / median,
            "times_ideal": median / (n * ideal),
        }
    return found


def table(cfg: DictConfig, found: dict[str, Speed], where: Machine) -> Table:
    """Return a row for each contestant."""
    packages = ", ".join(f"{name} {one}" for name, one in where["packages"].items())
    title = (
        f"{where['cpu']}, {where['cores']} cores, load {where['load']:.1f}; "
        f"Python {where['python']}, {packages}\n"
        f"check of {cfg.seconds:g} s, {cfg.consistency.concurrency} at a time; "
        f"ideal for {cfg.samples}: {cfg.samples * cfg.seconds / cfg.consistency.concurrency:.2f} s"
    )
    shown = Table(title=title, title_justify="left", title_style="bold")
    for column in ("", "n", "seconds, median (all)", "agreements/s", "times the ideal", "speed-up"):
        shown.add_column(column, justify="right" if column else "left")
    for name, one in found.items():
        seconds = sorted(one["seconds"])
        shown.add_row(
            _TITLES[name],
            str(one["n"]),
            f"{one['median_s']:.2f} ({seconds[0]:.2f} to {seconds[-1]:.2f})",
            f"{one['per_second']:.1f}",
            f"{one['times_ideal']:.2f}",
            f"{one['per_second'] / found['released']['per_second']:.1f}",
        )
    return shown


def bench(cfg: DictConfig) -> None:
    """Run all, print the table and write bench.json."""
    console = console_on(sys.stdout)
    where = here(_PACKAGES)
    with serving(cfg.seconds) as url:
        check = instantiate(cfg.consistency, base_url=url)
        runs, beyond = asyncio.run(ours(cfg, check))
        runs["released"] = [released(cfg, url)]
    found = figures(cfg, runs)
    added = statistics.median(beyond)
    console.print(table(cfg, found, where))
    console.print(
        f"streamed: {cfg.samples} answers arrive over {cfg.generation_s:g} s; the last agreement "
        f"comes {added:.2f} s after the last answer (median of {len(beyond)}), "
        f"{added / cfg.generation_s:.1%} of a step that long"
    )
    streamed = {"beyond_s": beyond, "share": added / cfg.generation_s}
    kept = {f"{name}, agreements/s": Figure(one["per_second"], 0.2, "higher")
            for name, one in found.items()}  # fmt: skip
    result = content("check", cfg, where, kept, contestants=found, streamed=streamed)
    path = file_of(cfg)
    write(path, result)
    conclude(console, path)


def main() -> None:
    """Run the command line."""
    run_command("bench_consistency", bench)


if __name__ == "__main__":
    main()
