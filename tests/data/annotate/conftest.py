"""The command of annotation, and endpoints that it asks."""

import sys

import pytest
from support.planned_endpoint import Endpoint

from r1reward.tools.annotate import main


@pytest.fixture
def command(monkeypatch, capfd):
    """Run the command here; return its exit status, what it printed, and what it complained of."""

    def run(*overrides, status=0):
        monkeypatch.setattr(sys, "argv", ["annotate", *map(str, overrides)])
        left = 0
        try:
            main()
        except SystemExit as stopped:
            left = stopped.code
        printed = capfd.readouterr()
        assert left == status, printed.out + printed.err
        return printed

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
