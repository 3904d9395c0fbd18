"""A client whose addresses are functions of the time."""

import random

import pytest
from support.endpoint import SETTINGS, FakeTransport

from r1reward.endpoint import client as module
from r1reward.endpoint.client import Client


@pytest.fixture
def connect(monkeypatch):
    """Return a client of the given addresses and its transport."""

    random.seed(0)  # of the jitter

    def start(*plans, **settings):
        urls = [f"http://host{number}/v1" for number in range(len(plans))]
        transport = FakeTransport(dict(zip(urls, plans, strict=True)))
        monkeypatch.setattr(module, "Transport", lambda key: transport)
        return Client("judge", base_url=urls, **{**SETTINGS, **settings}), transport

    return start
