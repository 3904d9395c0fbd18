"""Comparison of two answers about a photograph, by the embedded tiny model or your own.

Run it with the tiny model, or with the folder of another one::

    python examples/judge_pair.py [MODEL]
"""

import sys
from pathlib import Path

from r1reward import Judge

RECIPES = Path(__file__).resolve().parents[1] / "recipes"
PHOTO = RECIPES / "photos" / "images" / "explore_world_animals-animals-scarlet_macaw.webp"
ANSWERS = ("I can see an animal in this image.", "I can see a tool in this image.")

model = sys.argv[1] if len(sys.argv) > 1 else str(RECIPES / "tiny" / "checkpoint")
with Judge(model, judge="hf", max_tokens=64) as judge:
    result = judge.compare("What can you see in this image?", ANSWERS, images=PHOTO)

print(f"better: response {result.choice}" if result.agrees else "the two orders disagree")
for order in result.orders:
    print(order)
