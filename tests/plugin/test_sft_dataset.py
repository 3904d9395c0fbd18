"""What a cold start learns from a record: RL's prompt, then the reasoning, and nothing else."""

import json

import numpy as np
import pytest
import torch
from omegaconf import OmegaConf
from PIL import Image
from transformers import AutoProcessor
from verl.trainer import sft_trainer
from verl.utils import hf_processor, tracking
from verl.utils.dataset.dataset_utils import SFTTensorCollator

from r1reward.config.compose import REPO, compose_config
from r1reward.core.fields import PreferenceError
from r1reward.core.preferences import parse_preference
from r1reward.core.prompt import build_messages, render_prompt
from r1reward.core.reasoning import reasoning_of, target_ids
from r1reward.data.media_facts import examine
from r1reward.data.prompt_length import PromptLength
from r1reward.data.shard_rows import read_row
from r1reward.store.rundir import RunDir
from r1reward.store.shards import write_shard

MODEL = REPO / "recipes" / "tiny" / "checkpoint"
REASONING = "<think>The photo shows a dog, so Response 2 is better.</think><answer>2</answer>"
SIDE = 112  # pixels: 4 x 4 tokens, which no limit of the tiny model scales


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch) -> None:
    """Hugging Face datasets caches what it reads; tests must not see each other's."""
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")


def row(image="red.png", reasoning=REASONING, **fields):
    return {
        "question": "What is shown?",
        "responses": ["A cat.", "A dog."],
        "label": 2,
        "media": [{"kind": "image", "uri": image}] if image else [],
        "source": "test",
        "reasoning": reasoning,
    } | fields


@pytest.fixture
def folder(tmp_path):
    for name in ("red", "blue"):
        Image.new("RGB", (SIDE, SIDE), name).save(tmp_path / f"{name}.png")
    return tmp_path


def dataset(path, *rows, dropped=()):
    path.write_text("".join(json.dumps(item) + "\n" for item in rows))
    return opened(path, path.parent, dropped)


def opened(path, folder, dropped=()):
    config = compose_config(["data=reasoning", "cluster=cpu"], config_name="sft")
    config.run.dir, config.data.media_root = str(folder), str(folder)
    OmegaConf.resolve(config)
    entries = [{"files": [str(path)], "index": index, "why": "test"} for index in dropped]
    (folder / "dropped.jsonl").write_text("".join(json.dumps(entry) + "\n" for entry in entries))
    processor = hf_processor(str(MODEL))
    return sft_trainer.create_sft_dataset(str(path), config.data, processor.tokenizer, processor)


def test_tokens_are_those_of_the_whole_chat_and_only_the_answer_is_learned(folder) -> None:
    item = dataset(folder / "a.jsonl", row())[0]
    processor = AutoProcessor.from_pretrained(MODEL)
    prompt = build_messages(parse_preference(row(), where="here"), media_root=folder)
    chat = [*prompt, {"role": "assistant", "content": [{"type": "text", "text": REASONING}]}]
    text = processor.apply_chat_template(chat, tokenize=False)
    assert text.endswith(f"<|im_start|>assistant\n{REASONING}<|im_end|>\n")
    image = Image.open(folder / "red.png")
    whole = processor(text=[text.removesuffix("\n")], images=[image], return_tensors="pt")
    assert torch.equal(item["input_ids"], whole["input_ids"][0])
    learned = item["loss_mask"].bool()
    start = int(learned.nonzero()[0])
    assert learned[start:].all()
    assert processor.tokenizer.decode(item["input_ids"][learned]) == f"{REASONING}<|im_end|>"
    before = processor.tokenizer.decode(item["input_ids"][:start])
    assert before.endswith("<|im_start|>assistant\n")
    assert torch.equal(item["multi_modal_inputs"]["pixel_values"], whole["pixel_values"])
    assert set(item["multi_modal_inputs"]) == {"pixel_values", "image_grid_thw"}


def test_images_within_a_response_are_learned_from_at_their_places(folder) -> None:
    parts = [{"kind": "text", "text": "Like "}, {"kind": "image", "uri": "blue.png"}]
    _, within = read_row("here:1", row(responses=["A cat.", parts]))
    write_shard(folder / "a.parquet", [within])
    item = opened(folder / "a.parquet", folder)[0]
    processor = AutoProcessor.from_pretrained(MODEL)
    before, after = render_prompt("What is shown?", ("A cat.", "Like <image>")).split("<image>")
    content = [{"type": "image"}, {"type": "text", "text": before}, {"type": "image"}]
    content += [{"type": "text", "text": after}]
    chat = [
        {"role": "user", "content": content},
        {"role": "assistant", "content": [{"type": "text", "text": REASONING}]},
    ]
    text = processor.apply_chat_template(chat, tokenize=False).removesuffix("\n")
    images = [Image.open(folder / f"{name}.png") for name in ("red", "blue")]
    whole = processor(text=[text], images=images, return_tensors="pt")
    assert torch.equal(item["input_ids"], whole["input_ids"][0])
    assert torch.equal(item["multi_modal_inputs"]["pixel_values"], whole["pixel_values"])


def test_places_are_mrope(folder) -> None:
    item = dataset(folder / "a.jsonl", row())[0]
    image_token = json.loads((MODEL / "config.json").read_text())["image_token_id"]
    ids, places = item["input_ids"].numpy(), item["position_ids"].numpy()
    image = np.flatnonzero(ids == image_token)
    side = SIDE // 28
    assert len(image) == side * side
    start = image[0]
    assert (places[0] == np.arange(len(ids))).all()
    assert (places[1:, :start] == np.arange(start)).all()
    assert (places[1:, image] == np.indices((1, side, side)).reshape(3, -1) + start).all()
    after = places[1:, image[-1] + 1 :]
    assert (after == start + side + np.arange(after.shape[1])).all()


def test_another_image_is_other_pixels_and_the_same_tokens(folder) -> None:
    red, blue, none = dataset(folder / "a.jsonl", row(), row("blue.png"), row(None))
    assert torch.equal(red["input_ids"], blue["input_ids"])
    pixels = [item["multi_modal_inputs"]["pixel_values"] for item in (red, blue)]
    assert pixels[0].shape == pixels[1].shape == ((SIDE // 14) ** 2, 1176)
    assert not torch.equal(*pixels)
    assert none["multi_modal_inputs"] == {}
    assert len(red["input_ids"]) - len(none["input_ids"]) == (SIDE // 28) ** 2 + 2  # start, end


def test_a_video_is_what_the_length_check_counts(folder) -> None:
    (folder / "video").mkdir()
    for number in range(4):
        Image.new("RGB", (SIDE, SIDE), (60 * number, 0, 0)).save(folder / f"video/{number}.png")
    given = row(media=[{"kind": "video", "uri": "video"}])
    item = dataset(folder / "a.jsonl", given)[0]
    record = parse_preference(given, where="here")
    pictures = [examine(media, folder) for media in record.media]
    prompt = int((item["loss_mask"] == 0).sum())
    assert prompt == PromptLength(str(MODEL), 3136, 12544).count(record, pictures)
    frames, rows, columns = item["multi_modal_inputs"]["video_grid_thw"][0].tolist()
    token = json.loads((MODEL / "config.json").read_text())["video_token_id"]
    (shown,) = (item["input_ids"] == token).nonzero(as_tuple=True)
    assert len(shown) == frames * rows * columns // 4
    assert len(item["position_ids"][1, shown].unique()) == frames == 2
    assert len(item["position_ids"][3, shown].unique()) == columns // 2


def test_shards_are_read_and_their_rows_are_collated_as_verl_wants_them(folder) -> None:
    (folder / "set").mkdir()
    content = (folder / "red.png").read_bytes()
    media = [{"kind": "image", "uri": "red.png", "bytes": content}]
    write_shard(folder / "set" / "part-0.parquet", [row(media=media), row("blue.png"), row(None)])
    data = opened(folder / "set", folder)
    batch = SFTTensorCollator("no_padding")([data[index] for index in (2, 0, 1)])
    lengths = [len(data[index]["input_ids"]) for index in (2, 0, 1)]
    assert batch["input_ids"].offsets().diff().tolist() == lengths
    assert batch["position_ids"].values().shape == (4, sum(lengths))


def test_rows_that_preflight_lists_are_left_out(folder) -> None:
    rows = [row(question=f"Question {number}?") for number in range(4)]
    data = dataset(folder / "a.jsonl", *rows, dropped=(0, 2))
    texts = [data.tokenizer.decode(data[index]["input_ids"]) for index in range(len(data))]
    assert [text[text.index("Question ") :][:10] for text in texts] == ["Question 1", "Question 3"]


@pytest.mark.parametrize(
    ("reasoning", "says"),
    [
        (None, "no reasoning to learn from"),
        ("  ", "no reasoning to learn from"),
        (REASONING.replace("<answer>2", "<answer>1"), "the reasoning answers 1, the label is 2"),
        ("<think>Response 2.</think>", "answers nothing that can be read, the label is 2"),
    ],
)
def test_what_a_cold_start_must_not_imitate_is_refused(reasoning, says) -> None:
    given = row(reasoning=reasoning)
    with pytest.raises(PreferenceError, match=says):
        reasoning_of(given, parse_preference(given, where="here"))


def test_control_tokens_in_a_reasoning_are_refused() -> None:
    tokenizer = AutoProcessor.from_pretrained(MODEL).tokenizer
    for token in ("<|im_end|>", "<|image_pad|>", "<|endoftext|>"):
        with pytest.raises(PreferenceError, match="control tokens"):
            target_ids(f"before {token} after", tokenizer)


def test_losses_reach_the_journal_through_the_trainers_tracker(tmp_path) -> None:
    config = {"run": {"dir": str(tmp_path)}, "trainer": {}}
    for tracker in (tracking.Tracking, sft_trainer.Tracking):  # verl's own, and fit's
        tracker("project", "name", ["console"], config=config).log({"train/loss": 0.5}, step=3)
    sft_trainer.Tracking("project", "name", [], config=config).log({"val/loss": 0.25}, step=3)
    rows = [(row["kind"], row["step"], row["metrics"]) for row in RunDir(tmp_path).rows()]
    assert rows == [("train", 3, {"train/loss": 0.5}), ("validation", 3, {"val/loss": 0.25})]
