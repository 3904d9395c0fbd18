"""Worker processes that are killed."""

import os

import pytest

from r1reward.data.workers import WorkerError, in_order


def test_a_process_that_is_killed_is_named():
    with pytest.raises(WorkerError, match="set fewer workers"):
        list(in_order(os._exit, [(1,), (1,)], 2))
