"""verl's dataset over records: what an item holds, in both schemas, and at 200k rows."""

import base64
import json
from itertools import islice
from pathlib import Path

import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from omegaconf import OmegaConf
from transformers import AutoProcessor
from verl.utils.dataset.rl_dataset import get_dataset_class

from r1reward.config.compose import REPO, compose_config
from r1reward.core.fields import PreferenceError
from r1reward.core.pair import Preference
from r1reward.core.preferences import read_preferences
from r1reward.core.prompt import build_messages
from r1reward.core.rows import RowError
from r1reward.data.convert.run import Job, convert
from r1reward.data.shard_rows import shard_row
from r1reward.data.sources.plain import Plain
from r1reward.store.shards import write_shard

PHOTOS = REPO / "recipes" / "photos"


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch) -> None:
    """Hugging Face datasets caches what it reads; tests must not see each other's."""
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")


def dataset(path: Path | str, *overrides: str):
    config = compose_config(["data=photos", f"data.train_files={path}", *overrides])
    OmegaConf.resolve(config)
    processor = AutoProcessor.from_pretrained(config.actor_rollout_ref.model.path)
    return get_dataset_class(config.data)(
        config.data.train_files, processor.tokenizer, config.data, processor=processor
    )


def test_an_item_is_the_prompt_and_label_of_its_record() -> None:
    data = dataset(PHOTOS / "validation.jsonl")
    records = list(read_preferences(PHOTOS / "validation.jsonl"))
    assert len(data) == len(records) == 184
    for index in (0, 91, 183):
        item, record = data[index], records[index]
        assert item["raw_prompt"] == build_messages(
            record, media_root=PHOTOS, min_pixels=3136, max_pixels=12544
        )
        assert item["reward_model"]["ground_truth"] == str(record.label)
        assert item["extra_info"]["uid"] == record.uid


def test_the_released_schema_in_parquet_gives_the_same_prompt(tmp_path) -> None:
    ours = next(iter(read_preferences(PHOTOS / "train.jsonl")))
    text = (
        f"Compare.\n\n#### [Question]:\n{ours.question}\n\n#### [Response 1]:\n{ours.responses[0]}"
        f"\n\n#### [Response 2]:\n{ours.responses[1]}"
    )
    content = [{"type": "text", "text": text}, {"type": "image", "image": "elsewhere.jpg"}]
    row = {
        "question": ours.question,
        "message": json.dumps([{"role": "user", "content": content}]),
        "answer": [f"<answer>{ours.label}</answer>"],
        "image": ours.media[0].uri,
    }
    path = tmp_path / "released.parquet"
    pq.write_table(pa.Table.from_pylist([row]), path)
    item = dataset(path, f"data.media_root={PHOTOS}")[0]
    assert item["raw_prompt"] == build_messages(
        ours, media_root=PHOTOS, min_pixels=3136, max_pixels=12544
    )
    assert item["reward_model"]["ground_truth"] == str(ours.label)


def test_without_a_media_root_images_lie_beside_the_data_file() -> None:
    item = dataset(PHOTOS / "validation.jsonl", "data.media_root=null")[0]
    assert Path(item["raw_prompt"][0]["content"][0]["image"]).is_file()


def converted(folder: Path, media: str, rows: int = 30) -> Path:
    """Photos as a data set of several shards."""
    folder.mkdir()
    with open(folder / "pairs.jsonl", "w") as file:
        for record in list(read_preferences(PHOTOS / "train.jsonl"))[:rows]:
            better, worse = record.responses[:: 1 if record.label == 1 else -1]
            pair = {"question": record.question, "chosen": better, "rejected": worse}
            file.write(json.dumps(pair | {"image": record.media[0].uri}) + "\n")
    job = Job(Plain(str(folder), ["pairs.jsonl"], str(PHOTOS), "photos"), media, 0)
    options = {"shard_rows": 8, "workers": 1, "command": "", "tick": lambda progress: None}
    convert(job, folder / "set", **options)
    return folder / "set"


@pytest.mark.parametrize("media", ["path", "embed"])
def test_a_converted_set_is_a_folder_of_shards(tmp_path, media) -> None:
    folder = converted(tmp_path / "given", media)
    assert len(list(folder.glob("*.parquet"))) == 4
    data = dataset(folder, "data.media_root=null")  # the manifest knows
    original = list(read_preferences(PHOTOS / "train.jsonl"))[:30]
    records = list(read_preferences(folder))
    assert len(data) == len(records) == 30
    for index in (0, 8, 29):
        item, record = data[index], records[index]
        assert item["extra_info"]["uid"] == record.uid
        better = record.responses[int(item["reward_model"]["ground_truth"]) - 1]
        assert better == original[index].responses[original[index].label - 1]
        image, text = item["raw_prompt"][0]["content"]
        assert record.question in text["text"]
        if media == "path":
            assert image["image"] == str(PHOTOS / original[index].media[0].uri)
        else:
            content = (PHOTOS / original[index].media[0].uri).read_bytes()
            encoded = base64.b64encode(content).decode()
            assert image["image"] == f"data:image;base64,{encoded}"


def test_images_within_texts_come_from_shards(tmp_path) -> None:
    photos = [one.media[0] for one in islice(read_preferences(PHOTOS / "train.jsonl"), 0, 9, 4)]
    responses = ((photos[0], "is the answer"), "No.")
    given = Preference(("See ", photos[1], "?"), responses, (photos[2],), label=1, source="photos")
    (tmp_path / "set").mkdir()
    rows = [shard_row("here:1", one.to_row())[1] for one in (given, given.swapped())]
    write_shard(tmp_path / "set" / "a.parquet", rows)
    root = f"data.media_root={PHOTOS}"
    limits = {"min_pixels": 3136, "max_pixels": 12544}
    item = dataset(tmp_path / "set", root)[0]
    assert item["raw_prompt"] == build_messages(given, media_root=PHOTOS, **limits)
    shown = [part["image"] for part in item["raw_prompt"][0]["content"] if "image" in part]
    assert shown == [str(PHOTOS / photos[place].uri) for place in (2, 1, 0)]
    assert item["extra_info"]["uid"] == given.uid
    (tmp_path / "rows.jsonl").write_text(json.dumps(given.to_row()))
    with pytest.raises(PreferenceError, match=r"rows\.jsonl:1: images within a text; .* shards"):
        dataset(tmp_path / "rows.jsonl", root)


@pytest.mark.parametrize("media", ["path", "embed"])
def test_the_length_filter_sees_the_images_of_a_folder(tmp_path, media) -> None:
    folder = converted(tmp_path / "given", media, rows=5)
    root = "data.media_root=null"
    for limit, kept in ((384, 5), (30, 0)):
        overrides = [root, "data.filter_overlong_prompts=true", f"data.max_prompt_length={limit}"]
        assert len(dataset(folder, *overrides)) == kept


def test_a_folder_and_a_shard_mix_and_a_bad_row_names_what_was_given(tmp_path) -> None:
    folder, bad = converted(tmp_path / "given", "path"), tmp_path / "bad.parquet"
    write_shard(bad, [next(iter(read_preferences(folder))).to_row() | {"label": 3}])
    data = dataset(f"[{folder},{bad}]", f"data.media_root={PHOTOS}")
    assert len(data) == 31
    with pytest.raises(PreferenceError, match=rf"{folder}, {bad}:31: label=3"):
        data[30]
    with pytest.raises(RowError, match=r"no \.parquet and no \.jsonl file in this folder"):
        dataset(PHOTOS / "images")


def test_a_bad_row_is_named(tmp_path) -> None:
    path = tmp_path / "bad.jsonl"
    good = next(iter(read_preferences(PHOTOS / "train.jsonl"))).to_row()
    path.write_text("\n".join(map(json.dumps, [good, {**good, "label": 3}])))
    with pytest.raises(PreferenceError, match=r"bad\.jsonl:2: label=3"):
        dataset(path, f"data.media_root={PHOTOS}")[1]


def test_prompts_that_do_not_fit_are_dropped(tmp_path) -> None:
    good = next(iter(read_preferences(PHOTOS / "train.jsonl"))).to_row()
    path = tmp_path / "long.jsonl"
    rows = [good, {**good, "question": "why? " * 400}, {**good, "source": "other"}]
    path.write_text("\n".join(map(json.dumps, rows)))
    kept = dataset(path, f"data.media_root={PHOTOS}", "data.filter_overlong_prompts=true")
    assert [item["data_source"] for item in (kept[0], kept[1])] == ["photos", "other"]
    assert len(kept) == 2


@pytest.mark.slow
def test_200k_rows_cost_no_memory(tmp_path) -> None:
    row = next(iter(read_preferences(PHOTOS / "train.jsonl"))).to_row()
    path = tmp_path / "many.jsonl"
    with open(path, "w") as file:
        for number in range(200_000):
            file.write(
                json.dumps({**row, "question": f"{number}: " + "what is shown? " * 20}) + "\n"
            )
    before = psutil.Process().memory_info().rss
    data = dataset(path, f"data.media_root={PHOTOS}")
    assert data[199_999]["raw_prompt"][0]["content"][1]["text"].count("199999: ") == 1
    assert psutil.Process().memory_info().rss - before < 400_000_000
