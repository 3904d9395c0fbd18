"""R1-Reward-RL: what the released R1-Reward was trained on."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from r1reward.core.record import Record, RecordError
from r1reward.core.rows import Row
from r1reward.data.sources.base import Preference, Source, SourceError, attachments, identifier

_EXAMPLE_PROMPT = """#### [Question]:
How many dogs are there?

#### [Response 1]:
There are two dogs.

#### [Response 2]:
There is one dog.

#### **Output Format**:
"""


@dataclass(frozen=True)
class R1RewardRL(Source):
    """17,261 rows in 6 parquet shards.

    ``message`` is a chat that shows both responses, ``answer`` names the better one, ``image`` is
    a path, a data URI or base64; :meth:`.Record.from_row` reads it. Fields as on
    its card; the bytes of ``image`` could not be seen offline.
    """

    name: ClassVar[str] = "r1_reward_rl"
    published_at: ClassVar[str] = "Hugging Face yifanzhang114/R1-Reward-RL"
    fields: ClassVar[tuple[str, ...]] = ("question", "message", "answer")
    example: ClassVar[Row] = {
        "question": "How many dogs are there?",
        "message": json.dumps(
            [{"role": "user", "content": [{"type": "text", "text": _EXAMPLE_PROMPT}]}]
        ),
        "answer": ["<answer>1</answer>"],
        "image": "dogs.jpg",
    }

    def preferences(self, row: Row) -> Iterator[Preference | SourceError]:
        """Yield the one preference of the row; its order is decided anew."""
        try:
            record = Record.from_row(row, where=self.name)
        except RecordError as error:
            raise SourceError("text", str(error)) from None
        yield Preference(
            question=record.question,
            chosen=record.responses[record.label - 1],
            rejected=record.responses[2 - record.label],
            media=attachments([media.uri for media in record.media]),
            source=self.name,
            origin=identifier(row, "id"),
        )
