"""Accuracy of a model behind an OpenAI-compatible endpoint, on the embedded validation pairs.

Give the endpoint's address and the name that it knows the model by::

    python examples/evaluate_endpoint.py http://127.0.0.1:8000/v1 MODEL [PAIRS]
"""

import sys
from itertools import islice
from pathlib import Path

from r1reward import Judge
from r1reward.core.preferences import read_preferences

PHOTOS = Path(__file__).resolve().parents[1] / "recipes" / "photos"

address, model, *count = sys.argv[1:]
right = agreed = total = 0
with Judge.connect(address, model, max_tokens=512) as judge:
    for pair in islice(read_preferences(PHOTOS / "validation.jsonl"), int(*count or [20])):
        images = [PHOTOS / item.uri for item in pair.media]
        result = judge.compare(pair.question, pair.responses, images=images)
        total += 1
        agreed += result.agrees
        right += result.choice == pair.label

print(f"{total} pairs: both orders agree on {agreed}, right in {right} ({right / total:.1%})")
