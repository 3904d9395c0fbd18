"""A download that is repeated, broken, killed or damaged."""

import json
import os
import signal
import subprocess
import sys
import threading

from rich.console import Console
from support.fetch import SHARD, VLRB, below, cells, command
from support.waiting import wait_for

from r1reward.config.compose import REPO
from r1reward.eval.download.hub import Hub
from r1reward.eval.download.sync import sync


def test_a_rerun_downloads_only_what_is_missing_or_differs(hub, mmrlhf, run, tmp_path) -> None:
    root = tmp_path / "data"
    assert run(hub, root, "mmrlhf_rewardbench")[0] == 0
    assert {name: file for name, file in below(root).items() if name != "download.json"} == mmrlhf
    assert len(hub.gets) == len(mmrlhf) == 1 + 36 + 20
    hub.gets.clear()
    status, out, _ = run(hub, root, "mmrlhf_rewardbench")
    assert (status, hub.gets) == (0, [])
    assert (cells(out, "files"), cells(out, "downloaded now")) == ([57], [0])
    lost, changed = "images/mcq/mcq-3.png", "images/video-2/1.png"
    (root / lost).unlink()
    (root / changed).write_bytes(bytes(len(mmrlhf[changed])))
    assert run(hub, root, "mmrlhf_rewardbench")[0] == 0
    assert sorted(hub.gets) == [lost, changed]
    assert (root / changed).read_bytes() == mmrlhf[changed]


def test_a_broken_connection_is_tried_again(hub, vlrb, run, tmp_path) -> None:
    hub.cut[SHARD] = len(vlrb) // 2
    assert run(hub, tmp_path / "data", "vlrewardbench")[0] == 0
    assert (tmp_path / "data" / SHARD).read_bytes() == vlrb
    assert hub.gets == [SHARD, SHARD]


def test_a_killed_download_leaves_nothing_half_and_the_rerun_completes_it(
    hub, mmrlhf, run, tmp_path
) -> None:
    root, big = tmp_path / "data", "images/large.bin"
    mmrlhf[big] = os.urandom(4_000_000)
    hub.held[big] = threading.Event()
    overrides = command(hub, root, "mmrlhf_rewardbench")
    killed = subprocess.Popen([sys.executable, "-m", "r1reward.eval.fetch", *overrides], cwd=REPO)
    wait_for(lambda: big in hub.gets and len(list(root.glob("images/*/*.png"))) >= 5)
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    whole = {name for name in below(root) if not name.startswith(".download/")}
    assert whole
    assert {name: (root / name).read_bytes() == mmrlhf[name] for name in whole} == dict.fromkeys(
        whole, True
    )
    assert big not in whole
    hub.held.pop(big).set()
    hub.gets.clear()
    assert run(hub, root, "mmrlhf_rewardbench")[0] == 0
    assert {name: file for name, file in below(root).items() if name != "download.json"} == mmrlhf
    assert not whole & set(hub.gets)


def test_what_arrives_damaged_is_not_put_in_place(hub, vlrb, run, tmp_path) -> None:
    hub.damaged[SHARD] = bytes(len(vlrb))
    status, _, err = run(hub, tmp_path / "data", "vlrewardbench")
    assert status == 2
    assert f"{SHARD} of {VLRB} arrived damaged" in err
    assert not (tmp_path / "data" / SHARD).exists()
    hub.damaged.clear()
    assert run(hub, tmp_path / "data", "vlrewardbench")[0] == 0


def test_shards_of_an_earlier_commit_go_unless_they_were_changed(hub, tmp_path) -> None:
    def bring():
        return sync(Hub(hub.url), "a/b", "main", ["data/*"], tmp_path / "data", Console(quiet=True))

    old = {f"data/test-{n}-of-3": b"%d" % n for n in range(3)}
    first = hub.put("a/b", old)
    assert (bring().files, json_of(tmp_path)["commit"]) == (3, first)
    (tmp_path / "data" / "data/test-1-of-3").write_bytes(b"mine")
    (tmp_path / "data" / "notes.txt").write_bytes(b"mine too")
    second = hub.put("a/b", {"data/test-0-of-1": b"all"})
    assert (bring().files, json_of(tmp_path)["commit"]) == (1, second)
    kept = {name for name in below(tmp_path / "data") if name != "download.json"}
    assert kept == {"data/test-0-of-1", "data/test-1-of-3", "notes.txt"}


def json_of(tmp_path):
    return json.loads((tmp_path / "data" / "download.json").read_text())
