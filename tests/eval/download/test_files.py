"""No file leaves its folder, and a folder has one download at a time."""

import pytest
from support.fetch import SHARD, VLRB, below

from r1reward.eval.download.errors import FetchError
from r1reward.eval.download.files import alone, inside
from r1reward.eval.download.sync import STAGING


@pytest.mark.parametrize("name", ["data/test-/../../../x.parquet", "/data/test-x.parquet"])
def test_no_file_leaves_the_folder(name, hub, vlrb, run, tmp_path) -> None:
    hub.put(VLRB, {SHARD: vlrb, name: b"malice"})
    before = set(below(tmp_path))
    files = "hub.files=[data/test-*.parquet,/data/*]"
    status, _, err = run(hub, tmp_path / "data", "vlrewardbench", "hub.revision=main", files)
    assert status == 2
    assert f"{name!r} would leave" in err
    assert set(below(tmp_path)) == before
    assert hub.gets == []


@pytest.mark.parametrize("name", ["..", "a/../../b", "/etc/x", "a\\..\\b", "a\0b", "", "out/x"])
def test_names_that_leave_a_folder_are_refused(name, tmp_path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    (root / "out").symlink_to(tmp_path)
    with pytest.raises(FetchError, match="would leave"):
        inside(root, name)
    assert inside(root, "a/..b/c.png") == root / "a/..b/c.png"


def test_two_downloads_do_not_write_one_folder(hub, vlrb, run, tmp_path) -> None:
    with alone(tmp_path / "data" / STAGING):
        status, _, err = run(hub, tmp_path / "data", "vlrewardbench")
    assert status == 2
    assert "another download" in err
    assert run(hub, tmp_path / "data", "vlrewardbench")[0] == 0
