"""What all tests share."""

import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import NamedTuple

import pytest
from hypothesis import settings
from support.chat_server import ChatServer
from support.chromium import Chromium

from r1reward.config.compose import REPO, compose_config

# A busy machine is slow, not wrong.
settings.register_profile("r1reward", deadline=None)
settings.load_profile("r1reward")


@pytest.fixture(scope="session")
def tokenizer():
    """The tiny model's tokenizer."""
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(REPO / "recipes" / "tiny" / "checkpoint")


@pytest.fixture(scope="module")
def config():
    """The resolved configuration of a training run on a CPU."""
    from omegaconf import OmegaConf

    composed = compose_config(["cluster=cpu", "consistency=rule", "logging=local"])
    OmegaConf.resolve(composed)
    return composed


class Ended(NamedTuple):
    """Exit status of a command, and what it printed on both outputs."""

    status: int
    out: str
    err: str


@pytest.fixture
def invoke(monkeypatch, capfd):
    """Run the ``main`` of a command in this process, with these arguments."""

    def run(main, *arguments) -> Ended:
        monkeypatch.setattr(sys, "argv", [main.__module__, *map(str, arguments)])
        capfd.readouterr()
        status = 0
        try:
            main()
        except SystemExit as ended:
            status = ended.code
        return Ended(status, *capfd.readouterr())

    return run


@pytest.fixture(scope="session")
def browser():
    """A browser that shows pages; without one, the test is skipped."""
    with Chromium() as browser:
        yield browser


@pytest.fixture
def serve() -> Iterator[Callable[..., ChatServer]]:
    """Start chat servers (tests/support/chat_server.py) that end with the test."""
    with ExitStack() as stack:
        yield lambda *mode, **given: stack.enter_context(ChatServer(*mode, **given))
