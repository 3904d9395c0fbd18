"""Launcher that Hydra finds in this package, behind conf/hydra/launcher."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from hydra.core.utils import JobReturn
from hydra.plugins.launcher import Launcher
from omegaconf import DictConfig

if TYPE_CHECKING:
    from r1reward.sweep.launcher import Sweep


class SweepLauncher(Launcher):
    """Hands the jobs of a sweeper to a runner of :mod:`r1reward.sweep`."""

    def __init__(self, runner: Any) -> None:
        """Take where the jobs run (:class:`r1reward.sweep.launcher.Runner`)."""
        self._runner = runner
        self._sweep: Sweep | None = None

    def setup(self, *, hydra_context: Any, task_function: Any, config: DictConfig) -> None:
        """Take hold of the sweep's folder."""
        from r1reward.sweep.launcher import Sweep

        self._sweep = Sweep(config, self._runner)

    def launch(
        self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int
    ) -> Sequence[JobReturn]:
        """Run a batch."""
        assert self._sweep is not None
        return self._sweep.launch(job_overrides)
