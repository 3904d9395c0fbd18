"""The command: what is wrong is said in one message, before Ray, and nothing else is shown."""

import io
import json
import os
import subprocess
import sys
import traceback

import pytest
from PIL import Image
from rich.console import Console

from r1reward.core.errors import ConfigError
from r1reward.launch.run import _explain
from r1reward.store.rundir import RunDir

# Stands in for Ray, which takes a minute: says that it was imported, and does as it is told.
RAY = """
import os
import signal
from pathlib import Path

from r1reward.store.rundir import RunDir

print("imported")
os.system("echo native noise")


def init(**options):
    if os.environ["RAY_DOES"] == "fail":
        raise ConnectionError("no [/] route to\\nthe head node")
    signal.signal(signal.SIGTERM, lambda *_: os.abort())  # as Ray's own does, in effect


def shutdown():
    print("down")


def remote(**resources):
    return lambda actor: Handle


def wait(results, timeout):
    return results, []


def get(result):
    pass


class Handle:
    @classmethod
    def remote(cls):
        handle = cls()
        handle.run = handle
        handle.remote = train
        return handle


def train(config):
    run = RunDir(Path(config.run.dir))
    run.event("training", step=0, steps=1)
    run.write("validation", step=0, n=8, correct=4, formatted=8)
    if os.environ["RAY_DOES"] == "terminate":
        os.kill(os.getpid(), signal.SIGTERM)
    run.write("train", step=1, metrics={"reward/final/mean": 1.25})
    run.write("validation", step=1, n=8, correct=6, formatted=8)
"""


@pytest.fixture
def files(tmp_path):
    """A model directory, a photo, two data files, and the stand-in for Ray."""
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "config.json").write_text("{}")
    (tmp_path / "model" / "model.safetensors").touch()
    (tmp_path / "stub").mkdir()
    (tmp_path / "stub" / "ray.py").write_text(RAY)
    Image.new("RGB", (8, 8)).save(tmp_path / "photo.png")
    for name in ("train", "validation"):
        write(tmp_path / f"{name}.jsonl", 1)
    return tmp_path


def write(path, *labels):
    media = [{"kind": "image", "uri": "photo.png"}]
    rows = [
        {"question": f"Q{n}?", "responses": ["A.", "B."], "label": label, "media": media}
        for n, label in enumerate(labels)
    ]
    path.write_text("".join(json.dumps({**row, "source": "test"}) + "\n" for row in rows))


@pytest.fixture
def train(files):
    """Run the command on ``files``, with further overrides."""

    def run(*overrides, ray="run", columns="20"):
        command = [
            *(sys.executable, "-m", "r1reward.train", "cluster=gpu1", "logging=local"),
            *("data=records", f"run.root={files}/runs"),
            f"data.train_files={files}/train.jsonl",
            f"data.val_files={files}/validation.jsonl",
            f"actor_rollout_ref.model.path={files}/model",
        ]
        stub = {"PYTHONPATH": f"{files}/stub", "RAY_DOES": ray, "COLUMNS": columns}
        return subprocess.run(
            [*command, *overrides],
            env={**os.environ, **stub},
            cwd=files,
            capture_output=True,
            text=True,
        )

    return run


def only_run(files):
    (directory,) = (files / "runs" / "stablereinforce").iterdir()
    return RunDir(directory)


@pytest.mark.parametrize(
    ("override", "status", "says"),
    [
        ("experiment=nonsense", 2, "Could not find 'experiment/nonsense'"),
        ("trainer.total_epoch=3", 2, "Could not override 'trainer.total_epoch'"),
        (
            "actor_rollout_ref.model.path={files}/nothing",
            2,
            "error actor_rollout_ref.model.path={files}/nothing: no config.json there.",
        ),
        (
            "data.train_files={files}/bad.jsonl",
            2,
            "error data.train_files: 1 bad row(s):\n  {files}/bad.jsonl:2: label=7;",
        ),
        ("resume=auto", 2, "resume=auto: no unfinished run with a checkpoint below {files}"),
        ("resume={files}/model", 2, "resume={files}/model: no checkpoint below {files}/model"),
    ],
    ids=lambda value: value.partition("=")[0] if isinstance(value, str) and "=" in value else "",
)
def test_what_cannot_run_is_one_message_before_ray(train, files, override, status, says) -> None:
    write(files / "bad.jsonl", 1, 7, 2)
    done = train(override.format(files=files))
    assert done.returncode == status
    assert done.stderr.count(says.format(files=files)) == 1
    assert "Traceback" not in done.stderr
    assert done.stdout == ""  # Ray's stand-in speaks when it is imported
    assert not list(files.glob("runs/*/*/journal.jsonl"))


def test_a_run_that_fails_says_why_and_where_to_read_on(train, files) -> None:
    done = train(ray="fail")
    run = only_run(files)
    assert done.returncode == 1
    assert done.stdout.splitlines() == [
        f"run      {run.root}",
        f"log      {run.log}",
        "failed ConnectionError: no [/] route to",
        "the head node",
        f"the whole story is in {run.log}",
        f"report      {run.report}",
    ]
    assert done.stderr == ""
    assert "ConnectionError: no [/] route to" in run.report.read_text()
    log = run.log.read_text()
    assert log.index("imported") < log.index("Traceback") < log.index("ConnectionError: no [/]")
    assert "native noise" in log
    assert "down" in log
    assert [row["event"] for row in run.rows("event")] == ["started", "failed"]


def test_a_run_that_succeeds_ends_with_its_summary(train, files) -> None:
    done = train()
    run = only_run(files)
    assert (done.returncode, done.stderr) == (0, "")
    assert "imported" not in done.stdout
    shown = done.stdout.splitlines()
    assert shown[0] == f"run      {run.root}"
    assert "step 1/1 reward 1.25" in "\n".join(shown)
    # Wilson's interval of 6 of 8, from the formula with z = 1.96: 40.9% to 92.9%
    (after,) = [line for line in shown if "after" in line]
    assert "75.0%" in after
    assert "40.9% to 92.9%" in after
    assert f"journal     {run.journal}" in shown
    assert f"log         {run.log}" in shown
    assert shown[-1] == f"report      {run.report}"
    assert "50.0% → 75.0%" in run.report.read_text()
    (start,) = [row for row in run.rows("event") if row["event"] == "started"]
    assert "CPU cores" in start["machine"]


def test_a_secret_for_hydra_alone_is_not_journaled(train, files) -> None:
    train("+hydra.job.env_set.SOME_API_KEY=tell-nobody", "+hydra.job.env_set.OTHER=1", ray="fail")
    (start,) = [row for row in only_run(files).rows("event") if row["event"] == "started"]
    assert start["command"][-2:] == [
        "+hydra.job.env_set.SOME_API_KEY=(not shown)",
        "+hydra.job.env_set.OTHER=1",
    ]
    texts = [path.read_text() for path in only_run(files).root.rglob("*") if path.is_file()]
    assert len(texts) == 4
    assert not [text for text in texts if "tell-nobody" in text]


def test_a_run_that_is_terminated_has_a_report_too(train, files) -> None:
    done = train(ray="terminate")
    run = only_run(files)
    assert (done.returncode, done.stderr) == (1, "")
    assert done.stdout.splitlines()[-2:] == ["interrupted", f"report      {run.report}"]
    assert "interrupted</span>" in run.report.read_text()


@pytest.mark.parametrize(("ray", "status"), [("run", 0), ("fail", 1)])
def test_a_report_that_fails_changes_nothing_else(train, files, ray, status) -> None:
    (files / "stub" / "jinja2.py").write_text("raise RuntimeError('no [/] pages')")
    done = train(ray=ray)
    run = only_run(files)
    assert done.returncode == status
    assert done.stdout.splitlines()[-1] == "no report RuntimeError: no [/] pages"
    assert "RuntimeError: no [/] pages" in run.log.read_text()
    assert not run.report.exists()


# --- explanation


class Unpicklable(Exception):
    def __reduce__(self):
        raise TypeError("no")


def from_worker(error: Exception) -> Exception:
    """What ``ray.get`` raises when a task raised ``error``."""
    from ray.exceptions import RayTaskError

    try:
        raise error
    except Exception:
        text = traceback.format_exc()
    wrapped = RayTaskError("run", text, error, proctitle="ray::run", pid=7, ip="10.0.0.1")
    return wrapped.as_instanceof_cause()


def explained(run: RunDir, error: BaseException) -> list[str]:
    screen = io.StringIO()
    _explain(Console(file=screen, width=20), run, error, 0)
    return screen.getvalue().splitlines()


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (ValueError("no [/] such [bold]key"), ["ValueError: no [/] such [bold]key"]),
        (ValueError("no rows\nuse more"), ["ValueError: no rows", "use more"]),
        (KeyError("answer"), ["KeyError: 'answer'"]),
        (AssertionError(), ["AssertionError"]),
        (ConfigError("no plug-in"), ["ConfigError: no plug-in"]),  # a traceback has its module too
    ],
    ids=lambda value: type(value).__name__,
)
def test_the_reason_is_the_exceptions_own_however_often_ray_wrapped_it(
    tmp_path, error, says
) -> None:
    run = RunDir(tmp_path)
    for shown in (error, from_worker(error), from_worker(from_worker(error))):
        first, *rest = explained(run, shown)
        assert [first, *rest] == [
            f"failed {says[0]}",
            *says[1:],
            f"the whole story is in {tmp_path}/train.log",
        ]


def test_the_reason_of_an_exception_that_cannot_travel(tmp_path) -> None:
    error = from_worker(Unpicklable("the engine is gone\nfor good"))
    first, second, *_ = explained(RunDir(tmp_path), error)
    assert first.startswith("failed ")
    assert first.endswith("Unpicklable: the engine is gone")
    assert second == "for good"


def test_a_failure_that_is_known_comes_with_a_hint_and_its_cause(tmp_path) -> None:
    from ray.exceptions import ActorDiedError

    run = RunDir(tmp_path)
    failed, advice, story = explained(run, from_worker(OSError(28, "No space left on device")))
    assert failed == "failed OSError: [Errno 28] No space left on device"
    assert advice.startswith("hint A disk is full")
    run.log.write_text("(WorkerDict pid=7) torch.OutOfMemoryError: CUDA out of memory.\n")
    failed, root, advice, story = explained(run, ActorDiedError())
    assert failed.startswith("failed ActorDiedError: ")
    assert root == "because of torch.OutOfMemoryError: CUDA out of memory."
    assert advice.startswith("hint The GPU's memory is full")
    assert story == f"the whole story is in {run.log}"
    assert "CUDA out of memory" in list(run.rows("event"))[-1]["reason"]  # for the report


def test_a_message_without_end_is_cut(tmp_path) -> None:
    shown = explained(RunDir(tmp_path), RuntimeError("\n".join(f"line {n}" for n in range(500))))
    assert shown[:2] == ["failed RuntimeError: line 0", "line 1"]
    assert len(shown) < 30
    assert shown[-1] == f"the whole story is in {tmp_path}/train.log"


def test_a_run_with_a_checkpoint_can_be_continued(tmp_path) -> None:
    run = RunDir(tmp_path / "a run [bold]")
    run.checkpoints.mkdir(parents=True)
    assert explained(run, KeyboardInterrupt()) == ["interrupted"]
    (run.checkpoints / "latest_checkpointed_iteration.txt").write_text("20")
    hint = f"continue with: resume={run.root}"
    assert explained(run, KeyboardInterrupt()) == ["interrupted", hint]
    assert explained(run, ValueError("x"))[-1] == hint
