"""The command downloads a benchmark, counts its rows and names the images that are missing."""

import hashlib
import io
import json
import re

import pyarrow.parquet as pq
import pytest
from support import eval_oracles as oracles
from support.fetch import MMRLHF, SHARD, VLRB, below, cells, configuration

from r1reward.config.compose import REPO


def test_a_benchmark_is_downloaded_verified_and_recorded(hub, vlrb, run, tmp_path) -> None:
    root = tmp_path / "data"
    status, out, err = run(hub, root, "vlrewardbench")
    assert (status, err) == (0, "")
    assert set(below(root)) == {SHARD, "download.json"}, "no card, and nothing on its way"
    assert (root / SHARD).read_bytes() == vlrb
    record = json.loads((root / "download.json").read_text())
    pinned = "49b8e26430f73b021bd0655fcd27ebf0f384fede"
    assert (record["repo"], record["revision"], record["commit"]) == (VLRB, pinned, pinned)
    sha256 = hashlib.sha256(vlrb).hexdigest()
    assert record["files"] == [{"path": SHARD, "size": len(vlrb), "sha256": sha256}]
    assert cells(out, "rows") == cells(out, "images and videos") == [1250]
    assert cells(out, "official/hallucination") == [749]
    assert cells(out, "r1_reward_compat/general") == [484]
    assert cells(out, "files") == cells(out, "downloaded now") == [1]
    assert cells(out, "missing") == [0]
    assert "1/1 files" in out, "progress as plain lines"


def test_a_wrong_count_fails_and_is_named(hub, vlrb, run, tmp_path) -> None:
    rows = pq.read_table(io.BytesIO(vlrb)).slice(1)
    pq.write_table(rows, tmp_path / "short.parquet")
    commit = hub.put(VLRB, {SHARD: (tmp_path / "short.parquet").read_bytes()})
    status, out, err = run(hub, tmp_path / "data", "vlrewardbench", "hub.revision=main")
    assert status == 2
    assert "rows 1249 (expected 1250)" in err
    assert "official/hallucination 748 (expected 749)" in err
    assert err.count("\n") == 1
    record = json.loads((tmp_path / "data" / "download.json").read_text())
    assert (record["revision"], record["commit"]) == ("main", commit)
    assert "downloaded now" not in out


def test_missing_images_are_all_named_and_then_fetched(hub, mmrlhf, run, tmp_path) -> None:
    [files] = hub.data_sets[MMRLHF].values()
    taken = {path: files.pop(path) for path in list(files) if path.startswith("images/safety/")}
    taken |= {path: files.pop(path) for path in list(files) if path.startswith("images/video-7/")}
    status, out, err = run(hub, tmp_path / "data", "mmrlhf_rewardbench")
    assert (status, err) == (1, "")
    expected = [
        f"{row.get('image') or row['video']} (row {number}, {row['id']})"
        for number, row in enumerate(oracles.mmrlhf_rows(), start=1)
        if row["id"].startswith("safety") or row["id"] == "video-7"
    ]
    listed = tmp_path / "data" / "missing_images.txt"
    assert listed.read_text().splitlines() == expected
    assert len(expected) == 32 + 2
    assert cells(out, "missing") == [34]
    assert cells(out, "images and videos") == [170 - 34]
    shown = re.findall(r"^missing (.*)$", out, re.MULTILINE)
    assert shown == expected[:20]
    assert f"14 more in {listed}" in out
    files |= taken
    hub.gets.clear()
    assert run(hub, tmp_path / "data", "mmrlhf_rewardbench")[0] == 0
    assert sorted(hub.gets) == sorted(taken)
    assert not listed.exists()


def test_without_a_network_one_message_says_what_to_fetch_and_where_to(run, tmp_path) -> None:
    root = tmp_path / "data"
    status, out, err = run("http://127.0.0.1:1", root, "vlrewardbench")
    assert (status, out) == (2, "")
    assert err.count("\n") == 1
    assert "http://127.0.0.1:1 cannot be reached" in err
    assert VLRB in err
    assert f"to {root}/data" in err
    assert not root.exists()


def test_what_is_there_is_used_without_a_network(hub, vlrb, run, tmp_path) -> None:
    assert run(hub, tmp_path / "data", "vlrewardbench")[0] == 0
    status, out, err = run("http://127.0.0.1:1", tmp_path / "data", "vlrewardbench")
    assert (status, err) == (0, "")
    assert cells(out, "rows") == [1250]
    assert "warning http://127.0.0.1:1 cannot be reached" in out


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["hub.repo=no/body"], "no/body"),
        (["hub.revision=nowhere"], "nowhere"),
        (["hub.files=[other/*]"], "no file named other/*"),
        (["hub.endpoint=127.0.0.1"], "begin it with https:// or http://"),
        (["hub.endpont=x"], "endpont"),
    ],
)
def test_what_cannot_be_asked_is_one_message(overrides, message, hub, vlrb, run, tmp_path) -> None:
    status, _, err = run(hub, tmp_path / "data", "vlrewardbench", *overrides)
    assert status == 2
    assert message in err
    assert "Traceback" not in err


def test_a_login_is_not_sent_to_another_endpoint(hub, vlrb, run, tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    assert run(hub, tmp_path / "data", "vlrewardbench")[0] == 0
    assert hub.headers
    assert all("authorization" not in headers for headers in hub.headers)


def test_what_comes_with_the_repository_needs_nothing(run) -> None:
    photos = REPO / "recipes" / "photos"
    before = set(below(photos))
    status, out, err = run("http://127.0.0.1:1", photos, "photos")
    assert (status, err) == (0, "")
    assert "nothing to download. It comes with the package" in out
    assert (cells(out, "rows"), cells(out, "official/tool")) == ([204], [46])
    assert set(below(photos)) == before


def test_the_advice_names_the_revision_that_is_downloaded() -> None:
    source = (REPO / "eval" / "benchmarks" / "vlrewardbench.py").read_text()
    assert configuration("vlrewardbench")["hub"]["revision"] in source
