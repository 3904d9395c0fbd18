"""The key of an answer: what was shown, how it was sampled, and by which model."""

import hashlib
import json

from r1reward.judge.protocol import Protocol


def answer_key(digest: str, protocol: Protocol, identity: str, vote: int) -> str:
    """Return the hash of all that an answer depends on; order, parsing and row do not count.

    Args:
        digest: what the judge is shown.
        protocol: its sampling.
        identity: the model and its revision.
        vote: which of the draws for this prompt.
    """
    sampling = [
        protocol.temperature,
        protocol.top_p,
        protocol.repetition_penalty,
        protocol.max_tokens,
    ]
    return hashlib.sha256(json.dumps([digest, sampling, identity, vote]).encode()).hexdigest()
