"""One contract for every benchmark in eval/benchmarks, and what each reader makes of its rows."""

import collections
import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from pkgutil import iter_modules

import pytest
from hydra.utils import instantiate
from hypothesis import given
from hypothesis import strategies as st
from omegaconf import OmegaConf
from support import eval_oracles as oracles

from r1reward.config.compose import REPO, register_resolvers
from r1reward.core.media import open_image
from r1reward.core.prompt import build_messages
from r1reward.core.record import Media, Record
from r1reward.eval import benchmarks
from r1reward.eval.benchmarks.base import Benchmark
from r1reward.eval.benchmarks.media import MediaFolder
from r1reward.eval.benchmarks.mmrlhf_rewardbench import MMRLHFRewardBench
from r1reward.eval.benchmarks.multimodal_rewardbench import MultimodalRewardBench
from r1reward.eval.benchmarks.photos import Photos
from r1reward.eval.benchmarks.rows import BenchmarkError, read_rows
from r1reward.eval.benchmarks.vlrewardbench import VLRewardBench
from r1reward.judge.item import Item
from r1reward.judge.prompting import item_messages
from r1reward.judge.protocol import Protocol

CONF = REPO / "conf" / "benchmark"
NAMES = sorted(module.name for module in iter_modules(benchmarks.__path__) if module.name != "base")
FORMS = [(name, form) for name in NAMES for form in oracles.FILES.get(name, [])]
SEED = Path(os.environ.get("R1REWARD_BENCHMARKS", REPO.parent / "shared" / "data" / "benchmarks"))
PHOTOS = REPO / "recipes" / "photos"


def build(name, **values) -> Benchmark:
    """A benchmark as evaluation builds it, from its configuration."""
    register_resolvers()
    config = OmegaConf.load(CONF / f"{name}.yaml")
    for key, value in values.items():
        config.benchmark[key] = str(value)
    OmegaConf.resolve(config)
    return instantiate(config.benchmark)


def write(folder, form):
    folder.mkdir(parents=True, exist_ok=True)
    form(folder)
    return folder


# --- the contract


def test_every_benchmark_is_found_configured_and_has_its_files_here():
    assert {"vlrewardbench", "mmrlhf_rewardbench", "multimodal_rewardbench", "photos"} <= set(NAMES)
    assert {path.stem for path in CONF.glob("*.yaml")} == set(NAMES) == set(oracles.FILES)


@pytest.mark.parametrize("name", NAMES)
def test_a_benchmark_says_what_it_is(name):
    benchmark = build(name)
    assert benchmark.name == name == type(benchmark).__module__.rpartition(".")[2]
    assert next(iter(benchmark.groupings)) == "official"
    assert "rows" in benchmark.counts
    assert any(key.startswith("official/") for key in benchmark.counts)


@pytest.mark.parametrize("name", NAMES)
def test_without_data_one_message_says_what_to_fetch_and_where_to(name, tmp_path):
    with pytest.raises(BenchmarkError) as raised:
        build(name, root=tmp_path / "nowhere").load()
    message = str(raised.value)
    assert name in message
    assert message.count(str(tmp_path / "nowhere")) >= 2, "where it looked, and where to put it"
    assert all(pattern in message for pattern in build(name).files)
    assert "\n" not in message


@pytest.fixture(scope="module")
def loaded(tmp_path_factory):
    """Every form of every benchmark, loaded once."""
    cache = {}

    def load(name, form=None):
        if (name, form) not in cache:
            root = write(tmp_path_factory.mktemp(name), form) if form else PHOTOS
            cache[name, form] = list(build(name, root=root).load())
        return cache[name, form]

    return load


@pytest.mark.parametrize(("name", "form"), [*FORMS, ("photos", None)])
def test_items_keep_the_contract(name, form, loaded):
    items = loaded(name, form)
    benchmark = build(name)
    assert [item.index for item in items] == list(range(len(items)))
    assert len({item.uid for item in items}) == len(items)
    assert all(item.record.source == name for item in items)
    assert all(item.record.media and item.id and item.cluster for item in items)
    assert all("official" in item.groups for item in items)
    assert all(set(item.groups) <= set(benchmark.groupings) for item in items)
    for grouping in benchmark.groupings:
        found = collections.Counter(item.groups.get(grouping) for item in items)
        for key, right in benchmark.counts.items():
            where, _, group = key.partition("/")
            assert where != grouping or found[group] in right


@pytest.mark.parametrize(("name", "form"), [*FORMS, ("photos", None)])
def test_the_other_order_is_the_same_item(name, form, loaded):
    for item in loaded(name, form)[::50]:
        shown = {label: item.shown(label) for label in (1, 2)}
        better = item.record.responses[item.record.label - 1]
        assert [one.record.responses[label - 1] for label, one in shown.items()] == [better] * 2
        assert [one.record.label for one in shown.values()] == [1, 2]
        assert {one.uid for one in shown.values()} == {item.uid}
        assert shown[item.record.label] == item
        assert shown[1].shown(2) == shown[2]


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


def read(path):
    import pyarrow.parquet as pq

    if path.suffix == ".parquet":
        return pq.read_table(path).to_pylist()
    text = path.read_text()
    return json.loads(text) if path.suffix == ".json" else list(map(json.loads, text.splitlines()))


def save(path, rows):
    if path.suffix == ".parquet":
        oracles.parquet(path, rows)
    elif path.suffix == ".json":
        path.write_text(json.dumps(rows))
    else:
        oracles.jsonl(path, rows)


def test_nothing_heavy_is_imported():
    code = (
        "import sys, pkgutil, importlib, eval;"
        "[importlib.import_module(m.name) for m in pkgutil.walk_packages(eval.__path__, 'eval.')"
        " if m.name.split('.')[1] in 'ballots benchmarks intervals item media prompting protocol"
        " rows scoring'.split()];"
        "print([m for m in ('torch', 'verl', 'ray', 'vllm', 'transformers') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=REPO
    )
    assert done.stdout.strip() == "[]"


# --- what the readers make of rows


def test_vl_rewardbench_forms_agree(loaded):
    forms = [loaded("vlrewardbench", form) for form in oracles.FILES["vlrewardbench"]]
    for hub, repository, seed in zip(*forms, strict=True):
        assert hub.record.question == repository.record.question == seed.record.question
        assert hub.uid == repository.uid == seed.uid
        assert hub.shown(1).record.responses == seed.record.responses
    assert collections.Counter(item.record.label for item in forms[0]) == {1: 1000, 2: 250}


def test_images_inside_parquet_can_be_opened(loaded):
    item = loaded("vlrewardbench", oracles.vlrb_hub)[258]
    assert open_image(item.record.media[0].uri, None).getpixel((0, 0)) == (2, 1, 7)


def test_a_ranking_that_prefers_nobody_is_refused():
    row = {"id": "RLHF-V-1", "query": "?", "response": ["a", "b"], "image_path": "x.png"}
    for ranking in ([0, 0], [1, 1], [0], [0, 1, 2], [1, 2]):
        with pytest.raises(BenchmarkError, match="human_ranking"):
            VLRewardBench("x").pair({**row, "human_ranking": ranking})


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
    assert [item.record.responses for item in items[:2]] == [("one 0", "two 0"), ("one 1", "two 1")]
    assert [item.record.label for item in items[:2]] == [1, 2]
    row = {**oracles.mmrb_rows()[0], "Better": "1"}
    with pytest.raises(BenchmarkError, match="Better='1'"):
        MultimodalRewardBench("x").pair(row)


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
        better = item.record.responses[item.record.label - 1]
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
    assert sum(item.record.media[0].kind == "video" for item in items) == 25


# --- rows


def test_only_the_columns_asked_for_are_read(tmp_path):
    oracles.parquet(tmp_path / "rows.parquet", [{"id": "a", "image": {"bytes": b"x"}}] * 40)
    rows = list(read_rows(tmp_path / "rows.parquet", ("id", "video")))
    assert rows[39] == (f"{tmp_path}/rows.parquet:40", {"id": "a"})


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("rows.jsonl", b'{"id": 1}\n{"id": ', r"rows\.jsonl:2: not JSON"),
        ("rows.jsonl", b'{"id": 1}\n[1]\n', r"rows\.jsonl:2: expected an object, found \[1\]"),
        ("rows.json", b'[{"id": 1}', r"rows\.json: not JSON .*; download it again"),
        ("rows.json", b'{"id": 1}', r"rows\.json: expected one list"),
        ("rows.parquet", b"PAR1 and no more", r"rows\.parquet: not a readable parquet file"),
        ("rows.jsonl", None, r"rows\.jsonl: cannot be read \(No such file"),
        ("rows.parquet", None, r"rows\.parquet: cannot be read \("),
    ],
)
def test_damaged_files_are_named(name, content, message, tmp_path):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(BenchmarkError, match=message):
        list(read_rows(tmp_path / name))


@pytest.mark.parametrize("key", ["id", "prompt", "chosen", "rejected", "image"])
def test_a_key_that_is_null_or_not_there_is_named(key, tmp_path):
    rows = read(write(tmp_path, oracles.vlrb_seed) / "vl_rewardbench.jsonl")
    rows[4][key] = None
    del rows[5][key]
    for number in (4, 5):
        save(tmp_path / "vl_rewardbench.jsonl", rows[number:])
        with pytest.raises(BenchmarkError, match=rf":1: no {key}; found "):
            next(VLRewardBench(tmp_path)._items())


# --- media


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
    uris = [item.record.media[0].uri for item in benchmark.load()]
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


# --- items and prompts


def item(**values) -> Item:
    record = Record("Which?", ("left", "right"), 2, (Media("image", "q.png"),), "bench")
    return Item(record, 0, "id", {"official": "g"}, "g", "c", **values)


def test_an_items_prompt_is_the_records():
    assert item_messages(item(), max_pixels=99) == build_messages(item().record, max_pixels=99)


@given(
    question=st.text(min_size=1),
    one=st.text(min_size=1),
    two=st.text(min_size=1),
    counts=st.tuples(st.integers(0, 2), st.integers(0, 2)),
)
def test_media_of_a_response_stand_after_its_text(question, one, two, counts):
    shown = item().record
    record = replace(shown, question=question, responses=(one, two))
    media = tuple(tuple(Media("image", f"{n}{i}.png") for i in range(counts[n])) for n in (0, 1))
    case = replace(item(), record=record, response_media=media)
    [turn] = item_messages(case, media_root="/m")
    [plain] = build_messages(record, media_root="/m")
    kinds = [part["type"] for part in turn["content"]]
    texts = [part["text"] for part in turn["content"] if part["type"] == "text"]
    assert "".join(texts) == plain["content"][-1]["text"]
    if any(counts):
        assert kinds == [
            *["image", "text"],
            *["image"] * counts[0],
            "text",
            *["image"] * counts[1],
            "text",
        ]
        assert texts[0].endswith(f"###### [Response 1]:\n{one}")
        assert texts[1] == f"  \n\n###### [Response 2]:\n{two}"
        swapped = case.shown(1).response_media
        assert swapped == media[::-1]


def test_uid_ignores_order_and_media_but_neither_texts_nor_rows():
    base = item()
    moved = replace(base, record=replace(base.record, media=(Media("image", "other.png"),)))
    assert base.uid == base.shown(1).uid == moved.uid
    relabelled = replace(base, record=replace(base.record, label=1))
    assert len({base.uid, replace(base, index=1).uid, relabelled.uid}) == 3


def test_official_protocols_are_protocols():
    for name in NAMES:
        official = OmegaConf.to_container(OmegaConf.load(CONF / f"{name}.yaml").official)
        Protocol(name="official", repetition_penalty=1.0, **official)
