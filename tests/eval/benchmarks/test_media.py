"""Images and videos of a benchmark: where they are looked for, and which are missing."""

import pytest
from support import eval_oracles as oracles
from support.benchmarks import build, read, save, write

from r1reward.core.pair import Media
from r1reward.eval.benchmarks.media import MediaFolder
from r1reward.eval.benchmarks.rows import BenchmarkError
from r1reward.eval.benchmarks.vlrewardbench import VLRewardBench


def test_paths_are_found_along_the_search_path(tmp_path):
    for name in ("mcq/1.png", "images/2.png", "images/clip/c01_0001.jpeg", "images/x/3.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(oracles.png())
    folder = MediaFolder(tmp_path, (".", "images"))

    def found(kind, uri):
        media = folder.resolve(Media(kind, uri))
        return media and media.uri

    assert found("image", "mcq/1.png") == "mcq/1.png"
    assert found("image", "short/2.png") == "images/2.png"
    assert found("video", "video/clip") == "images/clip"
    assert found("image", "images/x/3.png") == found("image", "x/3.png") == "images/x/3.png"
    assert found("image", str(tmp_path / "mcq/1.png")) == "mcq/1.png"
    assert found("image", "/elsewhere/mcq/1.png") == "mcq/1.png"
    assert found("image", "data:image;base64,AAAA") == "data:image;base64,AAAA"
    assert found("image", "4.png") is None
    assert found("image", "video/clip") is None, "a folder is no image"
    assert found("video", "mcq/1.png") is None
    assert found("image", "https://example.org/1.png") is None


@pytest.mark.parametrize("uri", ["../secret.png", "a/../../secret.png", "/../secret.png"])
def test_nothing_outside_the_folder_is_found(uri, tmp_path):
    (tmp_path / "secret.png").write_bytes(oracles.png())
    (tmp_path / "inside" / "a").mkdir(parents=True)
    assert MediaFolder(tmp_path / "inside").resolve(Media("image", uri)) is None


def test_a_whole_path_wins_over_its_end_in_any_folder(tmp_path):
    for name in ("x.png", "images/mcq/x.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    found = MediaFolder(tmp_path, (".", "images")).resolve(Media("image", "mcq/x.png"))
    assert found == Media("image", "images/mcq/x.png")


def test_missing_media_are_counted_and_named_and_items_still_load(tmp_path):
    root = write(tmp_path, oracles.mmrlhf_jsonl)
    (root / "images" / "mcq").mkdir(parents=True)
    (root / "images" / "mcq" / "mcq-3.png").write_bytes(oracles.png())
    benchmark = build("mmrlhf_rewardbench", root=root)
    report = benchmark.check_media()
    assert (report.present, len(report.missing)) == (4, 166)
    assert "video/video-4 (row 150, video-4)" in str(report)
    uris = [item.media[0].uri for item in benchmark.load()]
    assert uris.count("images/mcq/mcq-3.png") == 4
    assert "video/video-4" in uris


def test_one_file_for_two_paths_is_an_error(tmp_path):
    root = write(tmp_path, oracles.vlrb_seed)
    rows = read(root / "vl_rewardbench.jsonl")
    rows[0]["image"], rows[1]["image"] = "a/same.png", "b/same.png"
    save(root / "vl_rewardbench.jsonl", rows)
    (root / "same.png").write_bytes(oracles.png())
    with pytest.raises(BenchmarkError, match=r"would be both a/same\.png and b/same\.png"):
        VLRewardBench(root).check_media()
