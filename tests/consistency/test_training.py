"""Real training runs with a check over HTTP: failing, resumed, and served by verl itself."""

import json
import subprocess
from collections import Counter

import pytest
from support.chat_server import ChatServer, conclusion
from support.training import MODEL, command, only_run

from r1reward.config.compose import REPO

LATENCY = 0.3  # seconds that the check takes for an answer


@pytest.fixture(scope="module")
def server():
    with ChatServer("errors") as server:
        yield server


def train(root, *overrides):
    options = (f"run.root={root}", "run.export=false", "data.save_every=-1")
    return subprocess.run(
        command(*options, *overrides), cwd=REPO, capture_output=True, text=True, timeout=840
    )


def asking(server):
    """Overrides: ask ``server``, and stop at two failures."""
    check = ("consistency=openai", f"consistency.base_url={server.url}", "consistency.request_s=2")
    return (*check, "consistency.deadline_s=3", "run.consistency_guard.window=8")


@pytest.fixture(scope="module")
def stopped(server, tmp_path_factory):
    """A run of two steps whose check is out of order from the beginning."""
    root = tmp_path_factory.mktemp("runs")
    return train(root, *asking(server)), root


@pytest.fixture(scope="module")
def resumed(server, stopped):
    """The same run, continued when the check is well again; responses come two at a time."""
    _, root = stopped
    server.reset()
    server.set("slow", seconds=LATENCY)
    two = "actor_rollout_ref.rollout.max_num_seqs=2"
    return train(root, *asking(server), two, "resume=auto"), only_run(root)


def rollouts(run, step):
    return [json.loads(line) for line in (run.root / "rollouts" / f"{step}.jsonl").open()]


def steps(run):
    return {row["step"]: row["metrics"] for row in run.rows("train")}


@pytest.mark.slow
def test_a_judge_that_fails_stops_training_with_a_checkpoint(stopped):
    done, root = stopped
    run = only_run(root)
    assert done.returncode == 1, done.stdout + done.stderr
    failed = sum(row["consistency_failure"] for row in rollouts(run, 1))
    assert failed > 0.2 * 8
    message = " ".join(done.stdout.split())
    assert f"{failed:.0f} of the last {failed:.0f} agreements failed (100%): " in message
    assert "At most 20% of 8 may." in message
    assert f"continue with: resume={run.root}" in message
    assert run.latest_step() == 1
    assert not run.finished()


@pytest.mark.slow
def test_what_the_judge_failed_on_is_reported_and_not_learned_from(stopped):
    run = only_run(stopped[1])
    metrics, rows = steps(run)[1], rollouts(run, 1)
    assert len(rows) == 8
    kinds = Counter(row["consistency_failure_kind"] for row in rows if row["checked"])
    assert "" not in kinds
    assert metrics["consistency/failures"] == metrics["consistency/checked"] == kinds.total()
    for kind, count in kinds.items():
        assert metrics[f"consistency/failures/{kind}"] == count
    assert all(row["consistency"] == 0 for row in rows)
    assert not [name for name in metrics if name.startswith("actor/pg")]  # no update
    (validation,) = run.rows("validation")
    assert validation["n"] == 16
    assert validation["consistent"] == 0


@pytest.mark.slow
def test_it_resumes_with_a_judge_that_is_well(resumed):
    done, run = resumed
    assert done.returncode == 0, done.stdout + done.stderr
    starts = [row for row in run.rows("event") if row["event"] == "started"]
    assert [row["resumed_from"] for row in starts] == [0, 1]
    assert list(steps(run)) == [1, 2]
    assert "actor/pg_loss" in steps(run)[2]
    assert run.finished()
    assert "check failures 0 check p95 0.3" in done.stdout  # the live line
    assert "check (2 steps)" in done.stdout  # the table at the end


@pytest.mark.slow
def test_the_step_counts_what_the_judge_said(resumed):
    _, run = resumed
    metrics, rows = steps(run)[2], rollouts(run, 2)
    checked = [row for row in rows if row["checked"]]
    asked = [row for row in checked if not row["consistency_cached"]]
    assert metrics["consistency/failures"] == 0
    assert (
        metrics["consistency/checked"]
        == len(checked)
        == len(asked) + metrics["consistency/cache_hits"]
    )
    assert metrics["consistency/calls"] == len(asked)
    assert metrics["consistency/tokens"] == 107 * len(asked)  # 100 and 7 each
    assert LATENCY <= metrics["consistency/latency_p50"] < LATENCY + 1
    for row in checked:
        reasoning, answer = row["output"].split("<answer>")
        agrees = conclusion(reasoning) == answer[0]
        assert row["consistency"] == float(agrees)
        assert row["final"] == row["acc"] * (1 + 0.5 * agrees) + 0.5 * row["format"]


@pytest.mark.slow
def test_judging_overlaps_with_generation(resumed, server):
    _, run = resumed
    metrics, rows = steps(run)[2], rollouts(run, 2)
    last = max(row["arrived"] for row in rows)
    ends = [
        row["arrived"] + row["consistency_wait"] for row in rows if row["consistency_seconds"] > 0
    ]
    assert min(ends) < last  # checked and done while a response was still written
    assert server.most > 1
    assert metrics["consistency/exposed_s"] == pytest.approx(max(0.0, max(ends) - last))
    share = metrics["consistency/exposed_s"] / metrics["timing_s/step"]
    assert metrics["consistency/exposed_share"] == pytest.approx(share)
    assert (
        metrics["consistency/exposed_s"] < LATENCY * len(ends) / 2
    )  # far from one after the other


@pytest.mark.slow
def test_wandb_shows_a_sample_of_the_checked_pairs(resumed):
    _, run = resumed
    tables = sorted(run.root.glob("wandb/offline-run-*/files/media/table/consistency/*.json"))
    assert len(tables) == 2
    for path, step in zip(tables, (1, 2), strict=True):
        table = json.loads(path.read_text())
        rows = {row["record_uid"]: row for row in rollouts(run, step)}
        assert len(table["data"]) == sum(row["checked"] for row in rows.values())
        for cells in table["data"]:
            pair = dict(zip(table["columns"], cells, strict=True))
            row = rows[pair["uid"]]
            assert pair["reasoning"] in row["output"]
            assert f"<answer>{pair['answer']}</answer>" in row["output"]
            assert pair["failure"] == row["consistency_failure_kind"]
            assert pair["consistent"] == (
                None if row["consistency_failure"] else row["consistency"] == 1
            )


@pytest.mark.slow
def test_verl_hosts_the_judge_itself(tmp_path):
    """The tiny model as its own check: it has never seen the question, and says something."""
    done = train(
        tmp_path,
        *(
            "consistency=hosted",
            f"consistency.model={MODEL}",
            "data.steps=1",
            "trainer.val_before_train=false",
        ),
        *("run.consistency_guard.max_failure_rate=null", "ray_kwargs.ray_init.num_gpus=2"),
        *("consistency.retries=0", "data.validate_every=-1"),
        "reward.reward_model.rollout.max_model_len=4096",
    )
    assert done.returncode == 0, done.stdout + done.stderr
    run = only_run(tmp_path)
    metrics, rows = steps(run)[1], rollouts(run, 1)
    assert metrics["consistency/checked"] == metrics["consistency/calls"] == 8
    assert metrics["consistency/tokens"] > 8 * 100  # the question alone has more
    assert all(row["consistency_failure_kind"] in ("", "unparsed") for row in rows)
    assert metrics["consistency/failures"] == sum(row["consistency_failure"] for row in rows)
    assert all(row["consistency"] == 0 for row in rows if row["consistency_failure"])
    assert "actor/pg_loss" in metrics
