"""A command with the sweeps of ``r1reward.train`` whose runs take no time: ``python -m toy_train``.

What is swept, launched and recorded is real; only the run itself is a stand-in, which writes the
journal of one. It is told by its overrides, and by files in the folder of the sweep, what to do.
"""

import os
import runpy
import signal
import sys
import time
from pathlib import Path

from r1reward.store.rundir import RunDir

# accuracy, of 100 validation pairs, by experiment and seed
CORRECT = {
    ("stablereinforce", 0): 80,
    ("stablereinforce", 1): 84,
    ("grpo", 0): 70,
    ("grpo", 1): 78,
}


def job(overrides: list[str]) -> int:
    pairs = (item.partition("=") for item in overrides)
    settings = {key: text for key, _, text in pairs}
    run = RunDir(Path(settings["hydra.run.dir"].strip('"')))
    experiment = settings.get("experiment", "stablereinforce")
    seed = int(settings.get("run.seed", "0"))
    control = run.root.parent / f"{experiment}-{seed}"  # what a test wants of this run
    wanted = control.read_text().strip() if control.exists() else ""
    print(f"toy run of {experiment}, seed {seed}")
    if wanted == "refuse":
        print("error run.seed: not this one", file=sys.stderr)
        return 2
    run.event("started", command=sys.argv, resumed_from=run.latest_step(), started=time.time())
    run.event("training", step=run.latest_step(), steps=10)
    if wanted == "break":
        run.event("failed", error="ValueError", reason="ValueError: it broke")
        return 1
    if wanted == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    if wanted == "wait":
        try:
            signal.signal(signal.SIGTERM, signal.default_int_handler)
            run.checkpoints.mkdir(exist_ok=True)
            (run.checkpoints / "latest_checkpointed_iteration.txt").write_text("5")
            while True:
                time.sleep(0.1)
        except KeyboardInterrupt:
            run.event("failed", error="KeyboardInterrupt", reason="KeyboardInterrupt")
            return 1
    rate = float(settings.get("actor_rollout_ref.actor.optim.lr", "3e-4"))
    correct = CORRECT.get((experiment, seed), 75) - round(1000 * abs(rate - 3e-4))
    run.write("validation", step=0, n=100, correct=60, formatted=100)
    run.write("train", step=10, metrics={"response_length/mean": 40.0 + seed, "timing_s/step": 2.0})
    run.write("validation", step=10, n=100, correct=correct, formatted=100)
    run.event("finished", step=10)
    return 0


if __name__ == "__main__":
    if {"-m", "--multirun"} & set(sys.argv):
        runpy.run_module("r1reward.train", run_name="__main__")
    else:
        raise SystemExit(job(sys.argv[1:]))
