"""Manifest and folder of a conversion, interrupted and continued."""

import hashlib

import pytest
from support.convert import files_of, job, pair, run, write

from r1reward.data.convert.run import ConvertError
from r1reward.store.shards import read_manifest


def test_the_manifest_says_what_was_made_of_what(tmp_path):
    path = write(tmp_path / "in" / "a.jsonl", [*map(pair, range(150)), {"bad": 1}])
    run(tmp_path / "out", job(tmp_path / "in", seed=3))
    manifest = read_manifest(tmp_path / "out")
    content = path.read_bytes()
    assert manifest["inputs"] == [
        {
            "path": str(path),
            "bytes": len(content),
            "sha256": hashlib.sha256(content).hexdigest(),
        }
    ]
    assert manifest["command"] == "test"
    assert manifest["seed"] == 3
    assert manifest["settings"]["source"]["name"] == "plain"
    assert manifest["settings"]["media"] == "path"
    assert manifest["sources"] == {"mine": 150}
    on_disk = files_of(tmp_path / "out")
    assert {shard["name"]: shard["sha256"] for shard in manifest["shards"]} == {
        name: digest for name, digest in on_disk.items() if name.endswith(".parquet")
    }
    assert [shard["rows"] for shard in manifest["shards"]] == [100, 50]
    assert set(on_disk) == {
        "part-00000.parquet",
        "part-00001.parquet",
        "manifest.json",
        "quarantine.jsonl",
    }


def test_two_processes_make_the_same_files_as_one(tmp_path):
    write(tmp_path / "in" / "a.jsonl", [*map(pair, range(300)), {"bad": 1}])
    write(tmp_path / "in" / "b.jsonl", map(pair, range(300, 500)))
    run(tmp_path / "one", job(tmp_path / "in"), workers=1)
    done = run(tmp_path / "two", job(tmp_path / "in"), workers=2)
    assert files_of(tmp_path / "one") == files_of(tmp_path / "two")
    assert done.total.records == 500


def test_a_finished_set_is_left_alone(tmp_path):
    write(tmp_path / "in" / "a.jsonl", map(pair, range(250)))
    run(tmp_path / "out", job(tmp_path / "in"))
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").iterdir()}
    done = run(tmp_path / "out", job(tmp_path / "in"))
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "out").iterdir()} == before
    assert (done.total.records, done.kept) == (250, 250)
    (tmp_path / "out" / "part-00001.parquet").unlink()
    with pytest.raises(ConvertError, match="shards are missing or damaged"):
        run(tmp_path / "out", job(tmp_path / "in"))


def test_other_settings_and_other_inputs_are_refused(tmp_path):
    path = write(tmp_path / "in" / "a.jsonl", map(pair, range(5)))
    out = tmp_path / "out"
    run(out, job(tmp_path / "in"))
    before = files_of(out)
    for change, says in {
        "seed": job(tmp_path / "in", seed=1),
        "settings.media": job(tmp_path / "in", media="embed"),
        r"settings.source.media_root": job(tmp_path / "in", media_root="/"),
    }.items():
        with pytest.raises(ConvertError, match=f"holds another conversion: {change} is .*, there"):
            run(out, says)
    with pytest.raises(ConvertError, match=r"settings\.shard_rows is 7, there 100"):
        run(out, job(tmp_path / "in"), shard_rows=7)
    path.write_text(path.read_text().replace("Better 3", "Better x"))
    with pytest.raises(ConvertError, match="inputs is not what they were"):
        run(out, job(tmp_path / "in"))
    assert files_of(out) == before


def test_a_folder_with_other_files_is_refused(tmp_path):
    write(tmp_path / "in" / "a.jsonl", [pair(1)])
    with pytest.raises(ConvertError, match="there are other files; give a new folder"):
        run(tmp_path / "in", job(tmp_path / "in"))
    assert [path.name for path in (tmp_path / "in").iterdir()] == ["a.jsonl"]


class Stop(Exception):
    """Raised by a ticker, as a person's interrupt would be."""


def stop_after(shards):
    def tick(progress):
        if progress.done >= shards:
            raise Stop

    return tick


def test_an_interrupted_run_goes_on_where_it_was(tmp_path):
    write(tmp_path / "in" / "a.jsonl", [*map(pair, range(990)), *[{"bad": 1}] * 10])
    run(tmp_path / "whole", job(tmp_path / "in"))
    out = tmp_path / "out"
    with pytest.raises(Stop):
        run(out, job(tmp_path / "in"), tick=stop_after(3))
    shards = {path: path.stat().st_mtime_ns for path in out.glob("*.parquet")}
    assert 3 <= len(shards) < 10
    assert read_manifest(out) is None
    with pytest.raises(ConvertError, match="holds another conversion: seed is 5, there 0"):
        run(out, job(tmp_path / "in", seed=5))
    done = run(out, job(tmp_path / "in"))
    assert {path: path.stat().st_mtime_ns for path in shards} == shards, "finished ones are kept"
    assert done.kept == 100 * len(shards)
    assert done.total.rows == 1000
    assert files_of(out) == files_of(tmp_path / "whole")


def test_a_lost_shard_of_an_unfinished_set_is_made_again(tmp_path):
    write(tmp_path / "in" / "a.jsonl", map(pair, range(500)))
    run(tmp_path / "whole", job(tmp_path / "in"))
    out = tmp_path / "out"
    with pytest.raises(Stop):
        run(out, job(tmp_path / "in"), tick=stop_after(2))
    (out / "part-00000.parquet").unlink()
    (out / ".part-00004.parquet.0123.part").write_bytes(b"torn by a kill")
    run(out, job(tmp_path / "in"))
    assert files_of(out) == files_of(tmp_path / "whole")
