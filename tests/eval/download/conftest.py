"""A hub on loopback with the benchmarks, and the command that downloads from it."""

import threading

import pytest
from support import eval_oracles as oracles
from support.fetch import MMRLHF, SHARD, VLRB, command, configuration, contents
from support.hub import Server

from r1reward.eval import fetch


@pytest.fixture
def hub(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    server = Server()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture
def vlrb(hub, tmp_path):
    """VL-RewardBench on the hub, at the commit that the configuration pins."""
    files = contents(oracles.vlrb_hub, tmp_path / "made")
    pinned = configuration("vlrewardbench")["hub"]["revision"]
    hub.data_sets[VLRB] = {pinned: {**files, "README.md": b"a card"}}
    return files[SHARD]


@pytest.fixture
def mmrlhf(hub, tmp_path):
    """MM-RLHF-RewardBench: a file of pairs, 36 images, and two frames of 10 videos."""
    files = contents(oracles.mmrlhf_jsonl, tmp_path / "made")
    paths = {row.get("image") or row["video"] for row in oracles.mmrlhf_rows()}
    for number, path in enumerate(sorted(paths)):
        # as on the hub: the frames of video/x are in images/x
        names = [path] if path.endswith(".png") else [f"{path[6:]}/{n}.png" for n in (1, 2)]
        files |= {f"images/{name}": oracles.png(number) for name in names}
    pinned = configuration("mmrlhf_rewardbench")["hub"]["revision"]
    hub.data_sets[MMRLHF] = {pinned: files}
    return files


@pytest.fixture
def run(invoke):
    """Run the command in this process; return its exit status and what it said."""
    return lambda hub, root, name, *more: invoke(fetch.main, *command(hub, root, name, *more))
