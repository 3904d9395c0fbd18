"""``hydra/launcher=serial``: one run after the other, on this machine."""

from collections.abc import Iterator, Sequence

from r1reward.sweep.job import Job
from r1reward.sweep.worker import work


class Serial:
    """Watches over each run from this process."""

    overrides = ()

    def run(self, jobs: Sequence[Job]) -> Iterator[Job]:
        """Run one job after the other."""
        for job in jobs:
            work(job.folder)
            yield job
