"""Write the expanded configurations of four runs to tests/golden: ``r1reward golden``.

A change of a default, of a group or of verl shows there as a difference. Paths of this machine are
replaced, so that the files are the same everywhere.
"""

from collections.abc import Mapping
from pathlib import Path

from omegaconf import OmegaConf

from r1reward.cli.command import user_errors
from r1reward.config.compose import REPO, checkout, compose_config
from r1reward.store.files import write_text

FOLDER = Path("tests", "golden")  # in the checkout
_SEVEN = ("cluster=gpu8", "model=qwen2_5_vl_7b")
# Name of a file -> configuration and overrides.
GOLDEN: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "train_cpu": ("train", ("experiment=stablereinforce", "cluster=cpu")),
    "train_7b_gpu8": ("train", ("experiment=stablereinforce", *_SEVEN, "data=r1_reward_rl")),
    "sft_7b": ("sft", ("experiment=cold_start", *_SEVEN, "data=reasoning")),
    "eval_vlrewardbench": ("eval", ("benchmark=vlrewardbench", "judge=vllm", "protocol=official")),
}


def expanded(name: str) -> str:
    """Return the resolved configuration of one of ``GOLDEN``, as YAML."""
    primary, overrides = GOLDEN[name]
    config = compose_config(overrides, config_name=primary)
    if primary != "eval":  # the launcher fills them in
        config.run.dir, config.run.name = "runs/<experiment>/<time>", "<experiment>"
    OmegaConf.resolve(config)
    text = OmegaConf.to_yaml(config, sort_keys=True)
    text = text.replace(str(REPO.resolve()), "<repository>")
    command = f"# r1reward {primary} {' '.join(overrides)}"
    return f"# Written by `make golden`.\n{command}\n{text}"


def main() -> None:
    """Write every file.

    Raises:
        SystemExit: with status 2 outside a checkout.
    """
    with user_errors():
        root = checkout()
    for name in GOLDEN:
        path = root / FOLDER / f"{name}.yaml"
        write_text(path, expanded(name))
        print(path.relative_to(root))


if __name__ == "__main__":
    main()
