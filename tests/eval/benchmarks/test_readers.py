"""What each reader makes of the rows of its benchmark, in every form that is published."""

import collections
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from support import eval_oracles as oracles
from support.benchmarks import PHOTOS, build, read, save, write

from r1reward.config.compose import REPO
from r1reward.core.media import open_image
from r1reward.eval.benchmarks.mmrlhf_rewardbench import MMRLHFRewardBench
from r1reward.eval.benchmarks.multimodal_rewardbench import MultimodalRewardBench
from r1reward.eval.benchmarks.photos import Photos
from r1reward.eval.benchmarks.rows import BenchmarkError
from r1reward.eval.benchmarks.vlrewardbench import VLRewardBench

FORMS = [(name, form) for name, forms in oracles.FILES.items() for form in forms]
SEED = Path(os.environ.get("R1REWARD_BENCHMARKS", REPO.parent / "shared" / "data" / "benchmarks"))


@pytest.fixture(scope="module")
def loaded(tmp_path_factory):
    """Every form of every benchmark, loaded once."""
    cache = {}

    def load(name, form):
        if (name, form) not in cache:
            root = write(tmp_path_factory.mktemp(name), form)
            cache[name, form] = list(build(name, root=root).load())
        return cache[name, form]

    return load


@pytest.mark.parametrize(("name", "form"), FORMS)
def test_the_items_are_those_of_the_benchmark(name, form, loaded):
    items = loaded(name, form)
    benchmark = build(name)
    assert [item.index for item in items] == list(range(len(items)))
    assert len({item.uid for item in items}) == len(items)
    assert all(item.source == name for item in items)
    assert all(item.media and item.id and item.cluster for item in items)
    assert all("official" in item.groups for item in items)
    assert all(set(item.groups) <= set(benchmark.groupings) for item in items)
    for grouping in benchmark.groupings:
        found = collections.Counter(item.groups.get(grouping) for item in items)
        for key, right in benchmark.counts.items():
            where, _, group = key.partition("/")
            assert where != grouping or found[group] in right


@pytest.mark.parametrize(("name", "form"), FORMS)
def test_a_row_too_few_is_an_error_that_counts(name, form, tmp_path):
    root = write(tmp_path / "all", form)
    benchmark = build(name, root=root)
    [path, *_] = benchmark._files()
    rows = read(path)
    save(path, rows[1:])
    with pytest.raises(BenchmarkError, match=r"is not this benchmark: .*rows \d+ \(expected"):
        benchmark.load()


@pytest.mark.parametrize(("name", "form"), FORMS)
def test_an_unmatched_row_is_named_with_file_and_row(name, form, tmp_path):
    root = write(tmp_path / "all", form)
    benchmark = build(name, root=root)
    [path, *_] = benchmark._files()
    rows = read(path)
    for key in ("id", "ID", "image", "video", "image_path", "Category"):
        if key in rows[2] and not isinstance(rows[2][key], dict):
            rows[2][key] = "nobody-knows-this"
    save(path, rows)
    with pytest.raises(BenchmarkError, match="nobody-knows-this") as raised:
        benchmark.load()
    assert str(raised.value).startswith(f"{path}:3: ")


# --- what the readers make of rows


def test_vl_rewardbench_forms_agree(loaded):
    forms = [loaded("vlrewardbench", form) for form in oracles.FILES["vlrewardbench"]]
    for hub, repository, seed in zip(*forms, strict=True):
        assert hub.question == repository.question == seed.question
        assert hub.uid == repository.uid == seed.uid
        assert hub.shown(1).responses == seed.responses
    assert collections.Counter(item.label for item in forms[0]) == {1: 1000, 2: 250}


def test_images_inside_parquet_can_be_opened(loaded):
    item = loaded("vlrewardbench", oracles.vlrb_hub)[258]
    assert open_image(item.media[0].uri, None).getpixel((0, 0)) == (2, 1, 7)


def test_a_ranking_that_prefers_nobody_is_refused():
    row = {"id": "RLHF-V-1", "query": "?", "response": ["a", "b"], "image_path": "x.png"}
    for ranking in ([0, 0], [1, 1], [0], [0, 1, 2], [1, 2]):
        with pytest.raises(BenchmarkError, match="human_ranking"):
            VLRewardBench("x").preference({**row, "human_ranking": ranking})


@pytest.mark.parametrize(
    ("row_id", "official", "compat"),
    [  # read off cal.py of 2025-05-08 and the released get_acc.py
        ("hallucination_pair-1003", "hallucination", "hallucination"),
        ("RLAIF-V-14", "hallucination", "general"),
        ("RLHF-V-31", "hallucination", "general"),
        ("wildvision-battle-13", "general", "general"),
        ("jailbreak-typo-HateSpeech-70", "general", "general"),
        ("mathverse_1294", "reasoning", "reasoning"),
        ("mmmu_pro_test_Marketing_150", "reasoning", "reasoning"),
    ],
)
def test_vl_rewardbench_groups(row_id, official, compat):
    place = VLRewardBench("x").place({"id": row_id})
    assert place.groups == {"official": official, "r1_reward_compat": compat}


@pytest.mark.parametrize(
    ("row_id", "category", "subgroup", "compat"),
    [  # the official scorer's rows, and the columns of the paper's table 4
        ("visitbench_3", "open_generation/correctness_task", "correctness", "correctness"),
        ("nocaps_3", "open_generation/preference_task", "preference", "preference"),
        ("mathvista_3", "reasoning", "reasoning/math", "math"),
        ("EMMA-Coding_3", "reasoning", "reasoning/coding", "coding"),
        ("image2struct_3", "reasoning", "reasoning/coding", "coding"),
        ("pairs_3", "safety", "safety/bias", "safety"),
        ("hateful_memes_3", "safety", "safety/toxicity", None),
        ("RealworldQA_3", "vqa", "vqa", "vqa"),
    ],
)
def test_multimodal_rewardbench_groups(row_id, category, subgroup, compat):
    place = MultimodalRewardBench("x").place({"ID": row_id, "Category": category})
    assert place.subgroup == subgroup
    assert place.groups["official"] == subgroup.partition("/")[0]
    assert place.groups.get("r1_reward_compat") == compat


def test_rows_of_one_image_are_one_cluster_in_every_form(loaded):
    def sizes(form):
        items = loaded("multimodal_rewardbench", form)
        clusters = collections.Counter(item.cluster for item in items)
        return [clusters[item.cluster] for item in items]

    assert sizes(oracles.mmrb_json) == sizes(oracles.mmrb_parquet)
    twice = 2 * (221 + 389) + 1198  # pairs of correctness and preference, questions of VQA
    assert collections.Counter(sizes(oracles.mmrb_json)) == {2: twice, 1: 4711 - twice}


def test_better_names_the_better_output_and_the_stored_order_stays(loaded):
    items = loaded("multimodal_rewardbench", oracles.mmrb_json)
    assert [item.responses for item in items[:2]] == [("one 0", "two 0"), ("one 1", "two 1")]
    assert [item.label for item in items[:2]] == [1, 2]
    row = {**oracles.mmrb_rows()[0], "Better": "1"}
    with pytest.raises(BenchmarkError, match="Better='1'"):
        MultimodalRewardBench("x").preference(row)


@pytest.mark.parametrize(
    ("row", "category"),
    [
        ({"image": "mcq/073712.png"}, "mcq"),
        ({"video": "video/-77dfCjTbSc"}, "video"),
        ({"image": None, "video": "video/clip"}, "video"),
        ({"image": "safety/a_long_video.png"}, "long"),  # the first keyword, in the scorer's order
    ],
)
def test_mmrlhf_rewardbench_groups(row, category):
    assert MMRLHFRewardBench("x").place({"id": "1", **row}).subgroup == category


def test_multimodal_rewardbench_without_its_texts_names_the_script(tmp_path):
    rows = oracles.mmrb_rows()
    rows[7]["Text"] = ""
    (tmp_path / "all_data.json").write_text(json.dumps(rows))
    with pytest.raises(BenchmarkError, match=r"all_data\.json:8: no Text; 0_download_data"):
        list(MultimodalRewardBench(tmp_path).load())


def test_a_split_that_hides_bias_among_vqa_is_refused(tmp_path):
    (tmp_path / "all_data.json").write_text(json.dumps(oracles.mmrb_rows(bias=500)))
    with pytest.raises(BenchmarkError, match=r"safety/bias 500 \(expected 506 to 508\)"):
        MultimodalRewardBench(tmp_path).load()


def test_the_embedded_benchmark_is_complete():
    photos = Photos(PHOTOS)
    report = photos.check_media()
    assert (report.present, report.missing) == (204, ())
    for item in photos.load():
        better = item.responses[item.label - 1]
        assert item.groups["official"].removeprefix("everyday ") in better.replace("an ", "a ")


@pytest.mark.parametrize(
    ("row_id", "cluster"),
    [
        ("mathverse_1108_1", "mathverse_1108"),
        ("mathverse_1108_2", "mathverse_1108"),
        ("mathverse_1108", "mathverse_1108"),
        ("mmmu_pro_validation_Geography_8_2", "mmmu_pro_validation_Geography_8"),
        ("mmmu_pro_validation_Geography_2", "mmmu_pro_validation_Geography_2"),
        ("RLAIF-V-1", "RLAIF-V-1"),
    ],
)
def test_copies_that_the_repository_numbers_share_an_image(row_id, cluster):
    benchmark = VLRewardBench("x")
    assert benchmark.cluster({}, benchmark.place({"id": row_id})) == cluster


# --- the files of the release, where they are

WITH_SEED = pytest.mark.skipif(not SEED.is_dir(), reason=f"no benchmark files in {SEED}")


@WITH_SEED
def test_the_released_vl_rewardbench_counts():
    items = list(VLRewardBench(SEED).load())
    assert len(items) == 1250
    assert len({item.id for item in items}) == len({item.cluster for item in items}) == 1225
    official = collections.Counter(item.groups["official"] for item in items)
    compat = collections.Counter(item.groups["r1_reward_compat"] for item in items)
    assert official == {"general": 183, "hallucination": 749, "reasoning": 318}
    assert compat == {"general": 484, "hallucination": 448, "reasoning": 318}
    accuracies, *_ = oracles.released_vl_rewardbench([(item.id, [1, 0]) for item in items])
    assert set(accuracies) == set(compat)


@WITH_SEED
def test_the_released_mmrlhf_rewardbench_counts():
    items = list(MMRLHFRewardBench(SEED).load())
    groups = collections.Counter(item.groups["official"] for item in items)
    assert groups == {"mcq": 42, "long": 37, "short": 34, "safety": 32, "video": 25}
    ids = collections.Counter(group for _, group in {(i.id, i.subgroup) for i in items})
    assert ids == {"mcq": 10, "long": 10, "short": 10, "safety": 6, "video": 10}
    assert sum(item.media[0].kind == "video" for item in items) == 25


def test_nothing_heavy_is_imported():
    code = (
        "import sys, pkgutil, importlib;"
        "from r1reward.eval import benchmarks, score;"
        "[importlib.import_module(module.name) for package in (benchmarks, score)"
        " for module in pkgutil.iter_modules(package.__path__, package.__name__ + '.')];"
        "print([m for m in ('torch', 'verl', 'ray', 'vllm', 'transformers') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
