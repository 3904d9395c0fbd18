"""Directories of runs: new ones, and the one that is resumed."""

import pytest

from r1reward.config.directories import run_dir
from r1reward.core.errors import ConfigError
from r1reward.store.rundir import RunDir


def test_resume_finds_the_newest_unfinished_run(tmp_path) -> None:
    def make(name: str, step: int, *, finished: bool) -> None:
        run = RunDir(tmp_path / "exp" / name)
        run.checkpoints.mkdir(parents=True)
        if step:
            (run.checkpoints / "latest_checkpointed_iteration.txt").write_text(str(step))
        if finished:
            run.event("finished")

    make("1", 5, finished=False)
    make("2", 7, finished=False)
    make("3", 9, finished=True)
    make("4", 0, finished=False)
    assert run_dir(str(tmp_path), "exp", "auto") == str(tmp_path / "exp" / "2")
    assert run_dir(str(tmp_path), "exp", str(tmp_path / "exp/1")) == str(tmp_path / "exp/1")
    with pytest.raises(ConfigError, match="no checkpoint"):
        run_dir(str(tmp_path), "exp", str(tmp_path / "exp/4"))
    with pytest.raises(ConfigError, match="no unfinished run"):
        run_dir(str(tmp_path), "other", "auto")
