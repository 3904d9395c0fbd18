"""Target of a cold start: the response of a right annotation, token for token."""

from collections.abc import Mapping
from typing import Any

from r1reward.core.fields import PreferenceError
from r1reward.core.pair import Preference
from r1reward.core.verdict import Verdict, parse_verdict


def reasoning_of(row: Mapping[str, object], preference: Preference) -> str:
    """Return the ``reasoning`` of an annotated row: a whole response, ``<think>`` to ``<answer>``.

    Raises:
        PreferenceError: when there is none, or when its answer is not the label.
    """
    text = row.get("reasoning")
    if not isinstance(text, str) or not text.strip():
        raise PreferenceError("no reasoning to learn from; annotate it, or mix with select=sft")
    verdict = parse_verdict(text)
    choice = verdict.choice if isinstance(verdict, Verdict) else None
    if choice != preference.label:
        raise PreferenceError(
            f"the reasoning answers {choice or 'nothing that can be read'}, the label is "
            f"{preference.label}; a cold start imitates right answers only"
        )
    return text


def target_ids(reasoning: str, tokenizer: Any) -> list[int]:
    """Return the tokens to learn: the reasoning and the token that ends the turn.

    Apart from the prompt's, because RL's engine goes on from exactly the prompt's tokens.

    Raises:
        PreferenceError: when the text holds a control token, such as ``<|im_end|>``.
    """
    ids: list[int] = tokenizer(reasoning, add_special_tokens=False)["input_ids"]
    known = tokenizer.added_tokens_decoder
    if control := {token for token in ids if token in known and known[token].special}:
        names = ", ".join(tokenizer.convert_ids_to_tokens(sorted(control)))
        raise PreferenceError(f"the reasoning holds control tokens ({names}); remove them")
    return [*ids, tokenizer.eos_token_id]
