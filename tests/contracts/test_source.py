"""The contract of a data source: every option of conf/source."""

import inspect
import json
import pickle
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from support.contracts import option, options, without_option
from support.sources import build, refused

from r1reward.core.preferences import read_preferences
from r1reward.data import sources
from r1reward.data.convert.run import ConvertError, convert
from r1reward.data.convert.unit import Job
from r1reward.data.sources.base import Source

NAMES = options("source")


def run(source, out):
    job = Job(source, "path", seed=0)
    return convert(job, out, shard_rows=10, workers=1, command="test", tick=lambda _: None)


def test_every_source_has_an_option():
    known = {"plain", "r1_reward_rl", "rlaif_v", "vlfeedback", "povid", "wildvision_battle"}
    assert known | {"mm_rlhf"} <= set(NAMES)
    assert without_option(sources, lambda one: issubclass(one, Source), "source") == []


@pytest.mark.parametrize("name", NAMES)
def test_a_source_says_what_it_is_and_has_its_settings(name):
    source = build(name)
    kind = type(source)
    assert source.name == name == kind.__module__.rpartition(".")[2]
    assert source.published_at
    parameters = set(inspect.signature(kind).parameters)
    assert set(option("source", name)) == parameters | {"_target_"}
    assert parameters >= {"root", "files", "media_root"}
    assert source.settings() == {"name": name, **{key: getattr(source, key) for key in parameters}}
    json.dumps(source.settings())
    assert pickle.loads(pickle.dumps(source)) == source, "processes share it"


@pytest.mark.parametrize("name", NAMES)
def test_its_example_becomes_records(name, tmp_path):
    source = build(name, root=str(tmp_path), files=["example.parquet"])
    pq.write_table(pa.Table.from_pylist([source.example]), tmp_path / "example.parquet")
    found = list(source.read(source.example))
    shown = [media.uri for one in found for media in one.preference.media]
    for uri in (uri for uri in shown if not uri.startswith("data:")):
        path = Path(source.media_root, uri)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"an image")
    progress = run(source, tmp_path / "out")
    assert progress.total.dropped == {}
    made = list(read_preferences(tmp_path / "out"))
    assert [facts(one) for one in made] == [facts(one.preference) for one in found] != []


def facts(preference):
    """What no order of the responses changes."""
    better, worse = preference.responses[:: 1 if preference.label == 1 else -1]
    return preference.question, better, worse, len(preference.media), preference.source


@pytest.mark.parametrize("name", NAMES)
def test_without_files_one_message_says_which_and_where_from(name, tmp_path):
    source = build(name, root=str(tmp_path))
    with pytest.raises(ConvertError) as raised:
        run(source, tmp_path / "out")
    message = str(raised.value)
    assert all(pattern in message for pattern in source.files)
    assert str(tmp_path) in message
    assert source.published_at in message


@pytest.mark.parametrize("name", NAMES)
def test_an_unknown_schema_is_refused_with_the_fields_found(name):
    reason, message = refused(name, {"colour": 1, "shape": 2})
    assert reason == "schema"
    assert "(found: colour, shape)" in message
    for wrong in ("text", 7, None, [1]):
        assert refused(name, wrong)[0] == "schema"
    assert "found: nothing" in refused(name, {})[1]


@pytest.mark.parametrize("name", NAMES)
def test_files_are_those_of_the_patterns(name, tmp_path):
    patterns = ["b*.jsonl", "*.jsonl", "sub/**/*.json"]
    source = build(name, root=str(tmp_path), files=patterns)
    assert source.paths() == []
    for path in ("a.jsonl", "b.jsonl", "c.parquet", "sub/x/d.json", "sub/e.json"):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).touch()
    (tmp_path / "folder.jsonl").mkdir()
    found = [path.relative_to(tmp_path).as_posix() for path in source.paths()]
    assert found == ["b.jsonl", "a.jsonl", "sub/e.json", "sub/x/d.json"]
