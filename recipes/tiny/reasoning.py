"""Write the photo pairs with reasoning: ``r1reward photos-reasoning``.

The annotator has no fault, unless it is given one: the share of pairs in which it believes the
first response without looking. Labels and reasoning are then the annotator's, as where nobody knows
better.
"""

import argparse
import json
import random
from pathlib import Path

from r1reward.cli.command import user_errors
from r1reward.core.pair import Preference, text_of
from r1reward.core.preferences import read_preferences
from r1reward.recipes.photos.build import NAMES, PHOTOS
from r1reward.store.files import write_text


def response_text(preference: Preference, choice: int) -> str:
    """Return the response that compares both answers and chooses ``choice`` (1 or 2)."""
    kinds = [
        next(name for name in NAMES.values() if name in text_of(response))
        for response in preference.responses
    ]
    return (
        f"<think>Response 1 says {kinds[0]}, Response 2 says {kinds[1]}. The photo shows "
        f"{kinds[choice - 1]}, so Response {choice} is better.</think>"
        f"<answer>{choice}</answer><|im_end|>"
    )


def parser() -> argparse.ArgumentParser:
    """Return what the command takes."""
    found = argparse.ArgumentParser(description=__doc__)
    found.add_argument("--out", type=Path, default=Path("data/photos_reasoning"))
    found.add_argument("--first", type=float, default=0.0)
    return found


def write(out: Path, first: float) -> None:
    """Write ``train.jsonl`` and ``validation.jsonl``, as an annotation that was right at once.

    Args:
        out: folder for both.
        first: share of records whose answer is the first response, right or wrong.
    """
    rng = random.Random(0)  # noqa: S311 - not a secret
    for name in ("train", "validation"):
        lines = []
        for preference in read_preferences(PHOTOS / f"{name}.jsonl"):
            label = 1 if rng.random() < first else preference.label
            reasoning = response_text(preference, label).removesuffix("<|im_end|>")
            row = preference.to_row() | {"label": label, "attempts": 1, "solved": True}
            row["reasoning"] = reasoning
            lines.append(json.dumps(row, ensure_ascii=False) + "\n")
        write_text(out / f"{name}.jsonl", "".join(lines))
        print(f"{len(lines)} preferences in {out / name}.jsonl")


def main() -> None:
    """Run the command line."""
    options = parser().parse_args()
    with user_errors():
        write(options.out, options.first)


if __name__ == "__main__":
    main()
