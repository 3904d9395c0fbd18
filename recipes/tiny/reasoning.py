"""Writes the photo pairs with reasoning, by an annotator without a fault: cold-start data.

python -m recipes.tiny.reasoning [--out data/photos_reasoning]
"""

import argparse
import json
from pathlib import Path

from r1reward.files import write_text
from r1reward.record import read_records
from recipes.tiny.build import PHOTOS
from recipes.tiny.cold_start import response_text


def main() -> None:
    """Write ``train.jsonl`` and ``validation.jsonl``, as an annotation that was right at once."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("data/photos_reasoning"))
    out = parser.parse_args().out
    for name in ("train", "validation"):
        lines = []
        for record in read_records(PHOTOS / f"{name}.jsonl"):
            reasoning = response_text(record, record.label).removesuffix("<|im_end|>")
            row = record.to_row() | {"attempts": 1, "solved": True, "reasoning": reasoning}
            lines.append(json.dumps(row, ensure_ascii=False) + "\n")
        write_text(out / f"{name}.jsonl", "".join(lines))
        print(f"{len(lines)} records in {out / name}.jsonl")


if __name__ == "__main__":
    main()
