"""Construction of the judge that a configuration names."""

from pathlib import Path

from hydra.utils import get_class, instantiate
from omegaconf import DictConfig

from r1reward.config.compose import CONF
from r1reward.core.errors import ConfigError
from r1reward.judge.base import Judge
from r1reward.judge.protocol import Protocol


def build_judge(cfg: DictConfig, protocol: Protocol, media_root: Path) -> Judge:
    """Return the judge of ``cfg``, an option of conf/judge.

    Raises:
        ConfigError: for what is no judge, keys that it lacks, and settings of an endpoint that
            cannot work.
        JudgeError: for a judge that cannot start.
    """
    if not issubclass(get_class(cfg._target_), Judge):
        names = sorted(path.stem for path in (CONF / "judge").glob("*.yaml"))
        raise ConfigError(f"judge: {cfg._target_} judges nothing here; take {', '.join(names)}")
    build = instantiate(cfg, _partial_=True, _convert_="all")
    try:
        judge: Judge = build(protocol=protocol, media_root=media_root)
    except TypeError as error:  # a key that was added with +
        raise ConfigError(f"judge: {error}") from None
    return judge
