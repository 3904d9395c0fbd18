"""Data sources as conversion builds them."""

import base64
from typing import Any

import pytest
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate
from omegaconf import OmegaConf

from r1reward.config.compose import CONF, register_resolvers
from r1reward.core.pair import Media, Preference
from r1reward.data.sources.base import Published, Source, SourceError

JPEG = b"\xff\xd8\xff\xe0" + bytes(range(100))
BASE64 = base64.b64encode(JPEG).decode()


def build(name: str, root: str = "data", **values: object) -> Source:
    """A source from its configuration, with other settings where they are given."""
    register_resolvers()
    with initialize_config_dir(str(CONF), version_base="1.3"):
        config = compose("convert", overrides=[f"source={name}", "out=o", f"source.root={root}"])
    config.source.update(values)
    OmegaConf.resolve(config)
    source: Source = instantiate(config.source, _partial_=True, _convert_="all")()
    return source


def published(
    question: str,
    chosen: str,
    rejected: str,
    media: tuple[Media, ...],
    source: str,
    origin: str,
) -> Published:
    """A preference for ``chosen`` as a source yields it."""
    pair = Preference(question, (chosen, rejected), media, label=1, source=source)
    return Published(pair, origin)


def read(name: str, row: object, **values: Any) -> list[Published | SourceError]:
    """The preferences of a row."""
    return list(build(name, **values).read(row))


def refused(name: str, row: object, **values: Any) -> tuple[str, str]:
    """Why a row is refused: the reason that is counted, and the message."""
    with pytest.raises(SourceError) as raised:
        read(name, row, **values)
    return raised.value.reason, str(raised.value)
