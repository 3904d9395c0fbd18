"""Make a Qwen2.5-VL of 138 million parameters that can see: ``r1reward smol-model --out DIR``.

SmolLM2 knows English; what an image's tokens mean it has to learn: supervised, from the training
photos, as the tiny model did. Two and a half minutes on an H100; hours on a CPU.
"""

import argparse
from pathlib import Path

from r1reward.cli.command import user_errors


def parser() -> argparse.ArgumentParser:
    """Return what the command takes."""
    found = argparse.ArgumentParser(description="Make the 138M model.")
    found.add_argument("--out", type=Path, required=True)
    found.add_argument("--steps", type=int, default=450)
    found.add_argument("--batch-size", type=int, default=32)
    found.add_argument("--learning-rate", type=float, default=3e-4)
    found.add_argument("--vision-learning-rate", type=float, default=1e-3)
    found.add_argument("--unseen", type=int, help="validation pairs to judge; all by default")
    found.add_argument("--seed", type=int, default=0)
    return found


def main() -> None:
    """Assemble the model and teach it."""
    options = parser().parse_args()
    import torch

    from r1reward.patches import transformers as patches
    from r1reward.recipes.smol.model import assemble, language
    from r1reward.recipes.tiny.build import Round, teach
    from r1reward.recipes.tiny.model import make_processor

    patches.install()  # the attention of training
    with user_errors():
        llama, tokenizer = language()
    model = assemble(llama, tokenizer, options.seed)
    if torch.cuda.is_available():
        model.to("cuda")
        torch.set_num_threads(1)  # for small images and batches many mostly wait
    seeing: Round = {
        "steps": options.steps,
        "batch_size": options.batch_size,
        "learning_rate": options.learning_rate,
        "vision_learning_rate": options.vision_learning_rate,
        "bias": 0.0,
    }
    rounds, processor = {"seeing": seeing}, make_processor(tokenizer)
    teach(model, processor, options.out, options.seed, rounds, options.unseen)


if __name__ == "__main__":
    main()
