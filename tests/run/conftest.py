"""A run directory with an empty journal."""

import pytest

from r1reward.store.rundir import RunDir


@pytest.fixture
def run(tmp_path):
    directory = tmp_path / ("a-long-name-" * 6) / "[bold]"
    directory.mkdir(parents=True)
    RunDir(directory).journal.touch()
    return RunDir(directory)
