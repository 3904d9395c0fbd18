"""Writer of docs/troubleshooting.md: the hints of failed runs as a page (``make docs`` runs it)."""

import re
import sys
from pathlib import Path

from r1reward.launch.hints import HINTS

PAGE = Path(__file__).resolve().parents[1] / "troubleshooting.md"
INTRO = """\
<!-- Written by `make docs` from r1reward/launch/hints.py: edit that file. -->

# Troubleshooting

A failed run shows its last error, and advice where the error is known. This page lists all advice. Search
it for words of your error. The whole output of a run is in `runs/<experiment>/<time>/train.log`.

`make doctor` says what this machine can run. `make plan` says which run fits its GPUs. Both need seconds.
"""
# Keys, variables and options, unless they are marked already.
_NAME = re.compile(
    r"(?<![`\w./-])((?:[a-z_]+\.)+[a-z_]+(?:=\w+)?|[A-Z]+_[A-Z_]+(?:=\w+)?|[a-z]+=\w*|--[\w-]+=\w+"
    r"|/dev/shm)(?![\w`])"
)
# From an expression to the words that a person sees in a log.
_PLAIN = ((r"\b", ""), (r"\d+", "N"), (r"\d?", ""), (r"\.", "."), ("[Gg]", "G"))


def phrases(pattern: str) -> list[str]:
    """Return the alternatives of an expression, those of its groups written out in full."""
    group = re.search(r"\(([^()]*)\)", pattern)
    if group:
        before, after = pattern[: group.start()], pattern[group.end() :]
        first = group[1].split("|")[0]
        return phrases(f"{before}{first}{after}")
    for expression, plain in _PLAIN:
        pattern = pattern.replace(expression, plain)
    return [re.sub(r"\w\?", "", phrase) for phrase in pattern.split("|")]


def _code(words: str) -> str:
    return f"`` {words} ``" if "`" in words else f"`{words}`"


def page() -> str:
    """Return the whole page."""
    parts = [INTRO]
    for pattern, advice in HINTS.items():
        problem, remedy = re.split(r"[:.] ", advice, maxsplit=1)
        said = ", ".join(map(_code, phrases(pattern)))
        remedy = _NAME.sub(r"`\1`", remedy[0].upper() + remedy[1:])
        parts.append(f"## {problem}\n\nThe log says {said}.\n\n{remedy}\n")
    return "\n".join(parts)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    print(f"{PAGE}: {len(HINTS)} hints", file=sys.stderr)
