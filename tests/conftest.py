"""What all tests share."""

import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import TYPE_CHECKING, NamedTuple

import pytest
from hypothesis import settings
from omegaconf import DictConfig, OmegaConf
from support.chat_server import ChatServer
from support.chromium import Chromium

from r1reward.config.compose import REPO, compose_config

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

# A busy machine is slow, not wrong.
settings.register_profile("r1reward", deadline=None)
settings.load_profile("r1reward")


@pytest.fixture(scope="session")
def tokenizer() -> "PreTrainedTokenizerBase":
    """The tiny model's tokenizer."""
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(REPO / "recipes" / "tiny" / "checkpoint")


@pytest.fixture(scope="module")
def config() -> DictConfig:
    """The resolved configuration of a training run on a CPU."""
    composed = compose_config(["cluster=cpu", "consistency=rule", "logging=local"])
    OmegaConf.resolve(composed)
    return composed


class Ended(NamedTuple):
    """Exit status of a command, and what it printed on both outputs."""

    status: str | int | None
    out: str
    err: str


@pytest.fixture
def invoke(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Callable[..., Ended]:
    """Run the ``main`` of a command in this process, with these arguments."""

    def run(main: Callable[[], None], *arguments: object) -> Ended:
        monkeypatch.setattr(sys, "argv", [main.__module__, *map(str, arguments)])
        capfd.readouterr()
        try:
            main()
            status: str | int | None = 0
        except SystemExit as ended:
            status = int(ended.code or 0)
        return Ended(status, *capfd.readouterr())

    return run


@pytest.fixture(scope="session")
def browser() -> Iterator[Chromium]:
    """A browser that shows pages; without one, the test is skipped."""
    with Chromium() as browser:
        yield browser


@pytest.fixture
def serve() -> Iterator[Callable[..., ChatServer]]:
    """Start chat servers (tests/support/chat_server.py) that end with the test."""
    with ExitStack() as stack:
        yield lambda *mode, **given: stack.enter_context(ChatServer(*mode, **given))
