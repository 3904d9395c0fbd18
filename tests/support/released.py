"""Rows of the released set, as its README shows them."""

import json
from typing import Any


def released(
    first: str = "A cat.",
    second: str = "A dog.",
    *,
    marks: str = "####",
    question: str = "What is it?",
    **columns: object,
) -> dict[str, Any]:
    """One row of the released set, as its README shows it: the text stands before the image."""
    text = (
        "You are a highly skilled and impartial evaluator.\n"
        f"{marks} **Input:**\n{marks} [Question]:\n{question}\n\n{marks} [Response 1]:\n{first}\n\n"
        f"{marks} [Response 2]:\n{second}\n\n"
        f"{marks} **Output Format (strictly follow):**\n<think>...</think><answer>1/2</answer>"
    )
    content: list[dict[str, str]] = [
        {"type": "text", "text": text},
        {"type": "image", "image": "/theirs/x.jpg"},
    ]
    chat = [{"role": "user", "content": content}]
    row = {"message": json.dumps(chat), "question": question, "answer": ["<answer>2</answer>"]}
    return row | {"image": "x.jpg"} | columns
