"""R1-Reward-RL: what the released R1-Reward was trained on."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import ClassVar

from r1reward.core.fields import PreferenceError
from r1reward.core.released import parse_released
from r1reward.core.rows import Row
from r1reward.data.sources.base import Published, Source, SourceError, identifier, images

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
    a path, a data URI or base64; :func:`r1reward.core.released.parse_released`
    reads it. Fields as on its card; the bytes of ``image`` could not be seen offline.
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

    def preferences(self, row: Row) -> Iterator[Published | SourceError]:
        """Yield the one preference of the row; its order is decided anew."""
        try:
            found = parse_released(row)
        except PreferenceError as error:
            raise SourceError("text", str(error)) from None
        better_first = found if found.label == 1 else found.swapped()
        media = images([one.uri for one in found.media])
        preference = replace(better_first, media=media, source=self.name)
        yield Published(preference, identifier(row, "id"))
