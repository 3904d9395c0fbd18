"""The command: its output, its errors, and a kill."""

import os
import signal
import subprocess
from pathlib import Path

import pytest
from support.convert import COMMAND, PHOTOS, files_of, pair, run, write
from support.waiting import ended, wait_for

from r1reward.config.compose import REPO
from r1reward.data.convert.unit import Job
from r1reward.data.sources.plain import Plain
from r1reward.store.shards import read_manifest


def test_a_killed_command_loses_nothing_and_leaves_no_process(tmp_path):
    """SIGKILL in the middle of a real run with two workers, then the same command again."""
    write(tmp_path / "in" / "a.jsonl", map(pair, range(3000)))
    out, gate = tmp_path / "out", tmp_path / "gate"
    arguments = [f"source.root={tmp_path}/in", f"out={out}", "shard_rows=50", "workers=2"]
    arguments += ["source._target_=support.gated_source.Gated"]
    environment = {"PYTHONPATH": str(REPO / "tests"), "GATE": f"2000 {gate}"}
    options = {"cwd": REPO, "env": os.environ | environment, "stdout": subprocess.DEVNULL}
    running = subprocess.Popen([*COMMAND, *arguments], **options)
    wait_for(lambda: running.poll() is not None or len(list(out.glob("*.parquet"))) >= 20)
    workers = children_of(running.pid)
    assert len(workers) >= 2
    running.send_signal(signal.SIGKILL)
    running.wait()
    for worker in workers:
        wait_for(lambda pid=worker: ended(pid))
    kept = {path: path.stat().st_mtime_ns for path in out.glob("part-*.parquet")}
    assert 20 <= len(kept) <= 40
    remembered = len(list((out / ".convert").glob("*.json"))) - 1  # and the plan
    assert len(kept) - 2 <= remembered <= len(kept), "at most those at work are lost"
    gate.touch()
    subprocess.run([*COMMAND, *arguments], **options, check=True)
    again = sum(path.stat().st_mtime_ns != time for path, time in kept.items())
    assert again <= 2
    whole = tmp_path / "whole"
    run(
        whole,
        Job(Plain(f"{tmp_path}/in", ["*.jsonl", "*.parquet"], str(PHOTOS), "plain"), "path", 0),
        50,
    )
    found, expected = files_of(out), files_of(whole)
    assert found.pop("manifest.json") != expected.pop("manifest.json"), "the command is another"
    assert found == expected
    facts = [read_manifest(folder) for folder in (out, whole)]
    assert [fact.pop("command") for fact in facts][1] == "test"
    assert facts[0] == facts[1]


def children_of(pid):
    return [int(one) for one in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def command(*arguments):
    done = subprocess.run([*COMMAND, *arguments], cwd=REPO, capture_output=True, text=True)
    return done.returncode, done.stdout, done.stderr


def test_the_command_shows_what_became_of_the_rows(tmp_path):
    write(tmp_path / "in" / "a.jsonl", [*map(pair, range(10)), {"bad": 1}])
    status, out, error = command(f"source.root={tmp_path}/in", f"out={tmp_path}/out", "workers=1")
    assert (status, error) == (0, "")
    lines = [[cell.strip() for cell in line.split("│")[1:3]] for line in out.splitlines()]
    assert ["rows read", "11"] in lines
    assert ["records", "10"] in lines
    assert ["schema", "1"] in lines
    assert f"data.train_files={tmp_path}/out\n" in out
    manifest = read_manifest(tmp_path / "out")
    assert manifest["media_root"] == str(PHOTOS)
    assert f"out={tmp_path}/out" in manifest["command"]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["out=x"], "source.root"),
        (["source.root=nowhere", "out=x"], "plain: no file *.jsonl, *.parquet below nowhere"),
        (["source.root=nowhere", "out=x", "media=inline"], "media=inline: take path or embed"),
        (["source.root=nowhere", "out=x", "workers=0"], "workers=0: give 1 or more"),
        (["source.root=nowhere", "out=x", "shard_rows=null"], "shard_rows=None: give 1 or more"),
        (["source.root=nowhere", "source.files=a.jsonl", "out=x"], "no file a.jsonl below nowhere"),
        (["source.root=nowhere", "out=x", "colour=red"], "colour"),
        (["source.root=nowhere", "out=x", "+source.colour=red"], "colour"),
        (["source=unknown", "source.root=nowhere", "out=x"], "rlaif_v"),
    ],
)
def test_what_cannot_be_used_is_one_message(arguments, says):
    status, _, error = command(*arguments)
    assert status == 2
    assert error.startswith("error ")
    assert says in error
    assert "Traceback" not in error
