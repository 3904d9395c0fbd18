"""Data files to validate, and the command."""

import json

import pytest
from support.broken import encoded, photo
from support.validate import HEADS

from r1reward.tools.validate import main


@pytest.fixture
def data(tmp_path):
    """Write a data file beside the photo ``good.png``; the folder is its own."""
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "good.png").write_bytes(encoded(photo()))

    def to_file(*rows, name="rows.jsonl"):
        lines = [row if isinstance(row, str) else json.dumps(row) for row in rows]
        (folder / name).write_text("".join(line + "\n" for line in lines))
        return folder / name

    return to_file


@pytest.fixture
def run(invoke):
    """Run the command in this process; return its exit status and what it says of the rows."""

    def command(*arguments):
        arguments = [f"files={item}" if hasattr(item, "suffix") else item for item in arguments]
        ended = invoke(main, "workers=1", *arguments)
        lines = (ended.out + ended.err).splitlines()
        return ended.status, [line for line in lines if line.startswith(HEADS)]

    return command
