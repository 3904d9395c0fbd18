"""The command of annotation, and endpoints that it asks."""

import pytest
from support.planned_endpoint import Endpoint

from r1reward.tools.annotate import main


@pytest.fixture
def command(invoke):
    """Run the command in this process, which ends with this status; return what it printed."""

    def run(*overrides, status=0):
        ended = invoke(main, *overrides)
        assert ended.status == status, ended.out + ended.err
        return ended

    return run


@pytest.fixture
def serve():
    """Start endpoints that end with the test."""
    started = []

    def start(**plan) -> Endpoint:
        started.append(Endpoint(plan))
        return started[-1]

    yield start
    for endpoint in started:
        endpoint.stop()
