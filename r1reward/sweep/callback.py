"""Hydra callback after the last job of a sweep."""

from hydra.experimental.callback import Callback
from omegaconf import DictConfig


class Conclusion(Callback):
    """Shows what came out of the sweep, and decides the exit status."""

    def on_multirun_end(self, config: DictConfig, **kwargs: object) -> None:
        """Called after the last batch."""
        from r1reward.sweep.launcher import conclude

        conclude(config)
