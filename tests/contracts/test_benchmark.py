"""The contract of a benchmark: every option of conf/benchmark.

The files are made of copies of the class's ``example``, with ``counts`` to match; a benchmark whose
files come with the repository is read as it is.
"""

import collections
import itertools

import pytest
from support.benchmarks import build, read, save
from support.contracts import option, options, without_option

from r1reward.eval import benchmarks
from r1reward.eval.benchmarks.base import Benchmark
from r1reward.eval.benchmarks.rows import BenchmarkError
from r1reward.judge.protocol import Protocol

NAMES = options("benchmark")
WITH_EXAMPLE = [name for name in NAMES if build(name).example is not None]
COPIES = 4


def made(name, root, monkeypatch) -> Benchmark:
    """The benchmark over files that were made of its example."""
    benchmark = build(name, root=root)
    save(root / benchmark.files[0].replace("*", "0"), [dict(benchmark.example)] * COPIES)
    monkeypatch.setattr(type(benchmark), "counts", {"rows": {COPIES}})
    return benchmark


def shipped(name) -> Benchmark:
    benchmark = build(name)
    there = any(path for pattern in benchmark.files for path in benchmark.root.glob(pattern))
    assert there, (
        f"{type(benchmark).__name__} has no `example`: give it one, a row of {benchmark.files[0]}, "
        "so that this test can make such a file"
    )
    return benchmark


@pytest.fixture
def benchmark(request, tmp_path, monkeypatch):
    """A benchmark that can be read."""
    name = request.param
    return made(name, tmp_path, monkeypatch) if name in WITH_EXAMPLE else shipped(name)


every_benchmark = pytest.mark.parametrize("benchmark", NAMES, indirect=True)


def test_every_benchmark_has_an_option():
    def is_benchmark(one):
        return issubclass(one, Benchmark)

    known = {"vlrewardbench", "mmrlhf_rewardbench", "multimodal_rewardbench", "photos"}
    assert known <= set(NAMES)
    assert without_option(benchmarks, is_benchmark, "benchmark", "benchmark") == []


@pytest.mark.parametrize("name", NAMES)
def test_a_benchmark_says_what_it_is(name):
    benchmark = build(name)
    assert benchmark.name == name == type(benchmark).__module__.rpartition(".")[2]
    assert next(iter(benchmark.groupings)) == "official"
    assert "rows" in benchmark.counts
    assert any(key.startswith("official/") for key in benchmark.counts)


@pytest.mark.parametrize("name", NAMES)
def test_its_official_protocol_is_one(name):
    Protocol(name="official", repetition_penalty=1.0, **option("benchmark", name).official)


@pytest.mark.parametrize("name", NAMES)
def test_without_data_one_message_says_what_to_fetch_and_where_to(name, tmp_path):
    with pytest.raises(BenchmarkError) as raised:
        build(name, root=tmp_path / "nowhere").load()
    message = str(raised.value)
    assert name in message
    assert message.count(str(tmp_path / "nowhere")) >= 2, "where it looked, and where to put it"
    assert all(pattern in message for pattern in build(name).files)
    assert "\n" not in message


@every_benchmark
def test_an_item_is_a_pair_with_its_place(benchmark):
    items = list(benchmark.load())
    assert [item.index for item in items] == list(range(len(items)))
    assert len({item.uid for item in items}) == len(items)
    for item in items:
        assert item.source == benchmark.name
        assert item.media
        assert item.id
        assert item.cluster
        assert {"official"} <= set(item.groups) <= set(benchmark.groupings)
    for key, right in benchmark.counts.items():
        grouping, _, group = key.partition("/")
        if grouping in benchmark.groupings:
            found = collections.Counter(item.groups.get(grouping) for item in items)
            assert found[group] in right


@every_benchmark
def test_the_other_order_is_the_same_item(benchmark):
    for item in itertools.islice(benchmark.load(), 0, None, 50):
        shown = {label: item.shown(label) for label in (1, 2)}
        better = item.responses[item.label - 1]
        assert [one.responses[label - 1] for label, one in shown.items()] == [better] * 2
        assert [one.label for one in shown.values()] == [1, 2]
        assert {one.uid for one in shown.values()} == {item.uid}
        assert shown[item.label] == item
        assert shown[1].shown(2) == shown[2]


@pytest.mark.parametrize("benchmark", WITH_EXAMPLE, indirect=True)
def test_a_row_too_few_is_an_error_that_counts(benchmark):
    [path] = benchmark._files()
    save(path, read(path)[1:])
    expected = rf"is not this benchmark: rows {COPIES - 1} \(expected {COPIES}\)"
    with pytest.raises(BenchmarkError, match=expected):
        benchmark.load()


@pytest.mark.parametrize("benchmark", WITH_EXAMPLE, indirect=True)
def test_a_row_without_its_columns_is_named_with_file_and_row(benchmark):
    [path] = benchmark._files()
    rows = read(path)
    rows[2] |= dict.fromkeys(benchmark.columns)
    save(path, rows)
    with pytest.raises(BenchmarkError) as raised:
        benchmark.load()
    assert str(raised.value).startswith(f"{path}:3: ")
