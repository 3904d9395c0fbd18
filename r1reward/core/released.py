"""Rows of the released R1-Reward-RL set (Hugging Face yifanzhang114/R1-Reward-RL)."""

import json
import re
from collections.abc import Mapping
from typing import Any

from r1reward.core.fields import PreferenceError, image_field, shown, text_field
from r1reward.core.pair import Media, Position, Preference

_HEADING = {n: re.compile(rf"^#+ \[Response {n}\]:[ \t]*\n?", re.MULTILINE) for n in (1, 2)}
_OUTPUT_HEADING = re.compile(r"^#+ \*\*Output Format", re.MULTILINE)
_LABEL = re.compile(r"\s*<answer>\s*([12])\s*</answer>\s*")


def parse_released(row: Mapping[str, Any]) -> Preference:
    """Return the preference of one row.

    Read: ``question``, ``message`` (a chat as a JSON string, with the two responses in its
    prompt), ``answer`` (``["<answer>2</answer>"]``) and ``image`` (path, data URI or plain base64;
    without it the image of the chat counts).

    Raises:
        PreferenceError: naming the field, and what to do.
    """
    question = text_field("question", row.get("question"))
    prompt, images = _chat(row["message"])
    first, second = _responses(prompt, question)
    if row.get("image"):  # the column holds the image; the path in the chat is its publisher's
        images = [row["image"]]
    return Preference(
        question=question,
        responses=(first, second),
        media=tuple(Media("image", image_field("image", image)) for image in images),
        label=_label(row.get("answer")),
        source="r1_reward_rl",
    )


def _chat(message: Any) -> tuple[str, list[Any]]:
    """Return the text and the images of the chat's only user turn."""
    try:
        turns = json.loads(message) if isinstance(message, str) else message
        [content] = [turn["content"] for turn in turns if turn["role"] == "user"]
        parts = [{"type": "text", "text": content}] if isinstance(content, str) else content
        text = "\n".join(part["text"] for part in parts if part["type"] == "text")
        return text, [part["image"] for part in parts if part["type"] == "image"]
    except (ValueError, TypeError, KeyError, RecursionError):
        raise PreferenceError(
            f"message={shown(message)}; give a chat with one user turn, as a JSON string"
        ) from None


def _responses(prompt: str, question: str) -> tuple[str, str]:
    """Return the two responses that a released prompt shows under their headings."""
    start = prompt.find(question)  # headings inside the question are not headings
    start = start + len(question) if start >= 0 else 0
    headings = {n: list(_HEADING[n].finditer(prompt, start)) for n in (1, 2)}
    if any(len(found) != 1 for found in headings.values()):
        counts = " and ".join(f"{len(headings[n])} of '[Response {n}]:'" for n in (1, 2))
        raise PreferenceError(f"message has {counts} as headings; one of each is needed")
    one, two = headings[1][0], headings[2][0]
    if two.start() < one.end():
        raise PreferenceError(
            "message shows Response 2 before Response 1; expected the other order"
        )
    output = list(_OUTPUT_HEADING.finditer(prompt, two.end()))
    end = output[-1].start() if output else len(prompt)
    first, second = prompt[one.end() : two.start()].strip(), prompt[two.end() : end].strip()
    return text_field("[Response 1]", first), text_field("[Response 2]", second)


def _label(answer: object) -> Position:
    values = answer if isinstance(answer, list | tuple) else [answer]
    match = _LABEL.fullmatch(values[0]) if len(values) == 1 and isinstance(values[0], str) else None
    if match is None:
        raise PreferenceError(
            f"answer={shown(answer)}; give ['<answer>1</answer>'] or the same with 2"
        )
    return 1 if match[1] == "1" else 2
