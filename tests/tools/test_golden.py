"""Expanded configurations are those that are kept: a changed default is seen where it counts."""

import pytest

from r1reward.config.compose import REPO
from r1reward.tools.golden import FOLDER, GOLDEN, expanded


@pytest.mark.parametrize("name", GOLDEN)
def test_a_configuration_is_the_kept_one(name: str) -> None:
    kept = (REPO / FOLDER / f"{name}.yaml").read_text(encoding="utf-8")
    assert expanded(name) == kept, "if the change is meant, run `make golden` and commit the files"


def test_nothing_else_is_kept_and_no_path_of_this_machine() -> None:
    assert sorted(path.stem for path in (REPO / FOLDER).iterdir()) == sorted(GOLDEN)
    for path in (REPO / FOLDER).iterdir():
        assert str(REPO.resolve()) not in path.read_text(encoding="utf-8")
