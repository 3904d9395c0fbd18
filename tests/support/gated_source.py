"""A source that stops in the middle of its rows, for tests that kill the process that reads it.

With ``tests`` in PYTHONPATH: ``source._target_=support.gated_source.Gated``.
"""

import os
import time
from collections.abc import Iterator
from pathlib import Path

from r1reward.core.rows import Row
from r1reward.data.sources.base import Published, SourceError
from r1reward.data.sources.plain import Plain


class Gated(Plain):
    """Gives the rows from a number on only once a file exists.

    The environment variable ``GATE`` is the number and the file. Rows are told by their question:
    "Question 7?" is number 7.
    """

    def preferences(self, row: Row) -> Iterator[Published | SourceError]:
        first, gate = os.environ["GATE"].split(maxsplit=1)
        number = int(str(row["question"]).removeprefix("Question ").removesuffix("?"))
        while number >= int(first) and not Path(gate).exists():
            time.sleep(0.02)
        return super().preferences(row)
