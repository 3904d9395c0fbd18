"""Sizes of models, against published weights and by hand."""

import json
import math
import struct

import pytest
import yaml
from support.planning import SEVEN, THREE

from r1reward.config.compose import CONF, REPO
from r1reward.core.errors import ConfigError
from r1reward.plan.model import model_of


@pytest.mark.parametrize(
    ("name", "bytes_on_hub"), [(SEVEN, 16_584_333_312), (THREE, 7_509_245_952)]
)
def test_parameters_are_those_of_the_published_weights(name, bytes_on_hub) -> None:
    # total_size in model.safetensors.index.json, two bytes each: 8.29 and 3.75 billion
    assert model_of(name).parameters * 2 == bytes_on_hub


def test_parameters_of_the_tiny_model_are_those_in_its_file() -> None:
    folder = REPO / "recipes/tiny/checkpoint"
    with open(folder / "model.safetensors", "rb") as file:
        header = json.loads(file.read(struct.unpack("<Q", file.read(8))[0]))
    tensors = (entry["shape"] for name, entry in header.items() if name != "__metadata__")
    assert model_of(str(folder)).parameters == sum(math.prod(shape) for shape in tensors)


def test_published_dimensions_are_those_that_random_models_are_made_with() -> None:
    sizes = yaml.safe_load((CONF / "random_model.yaml").read_text())["sizes"]
    published = yaml.safe_load((REPO / "r1reward/plan/models.yaml").read_text())
    for ours, theirs in (("qwen2_5_vl_7b", SEVEN), ("qwen2_5_vl_3b", THREE)):
        text, vision = dict(sizes[ours]["text"]), sizes[ours]["vision"]
        assert text.pop("tie_word_embeddings") == published[theirs]["tie_word_embeddings"]
        assert text.items() <= published[theirs]["text_config"].items()
        assert vision.items() <= published[theirs]["vision_config"].items()


def test_keys_and_values_of_a_token() -> None:
    assert model_of(SEVEN).kv_bytes == 2 * 28 * 4 * 128 * 2 == 57_344
    assert model_of(THREE).kv_bytes == 2 * 36 * 2 * 128 * 2 == 36_864


def test_published_config_files_with_the_texts_keys_at_the_top_are_read(tmp_path) -> None:
    published = yaml.safe_load((REPO / "r1reward/plan/models.yaml").read_text())[SEVEN]
    flat = {**published.pop("text_config"), **published}
    (tmp_path / "config.json").write_text(json.dumps(flat))
    assert model_of(str(tmp_path)) == model_of(SEVEN)


def test_a_model_that_is_not_known_says_what_to_do(tmp_path) -> None:
    with pytest.raises(ConfigError, match="give the folder"):
        model_of("someone/else")
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(ConfigError, match=r"only Qwen2\.5-VL"):
        model_of(str(tmp_path))


def test_forward_flops_are_twice_the_weights_a_token() -> None:
    # no attention over nothing, no image: 28 layers and the output layer
    expected = 2 * 1000 * (28 * 233_057_792 + 152_064 * 3584)
    assert model_of(SEVEN).forward_flops(1000, 0, 0) == expected


def test_layers_put_out_states_and_mlp_in_half_precision() -> None:
    model = model_of(SEVEN)
    text = 2 * 1000 * 28 * (3584 + 18_944)
    assert model.activation_bytes(1000, 0) == text
    assert model.activation_bytes(1000, 100) == text + 2 * 400 * 32 * (1280 + 3420)
