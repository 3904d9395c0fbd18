"""The environment of a run, and a session that leaves nothing of it behind."""

import importlib.util
import os
import re
import sys
from pathlib import Path
from types import ModuleType

import pytest
from omegaconf import OmegaConf

from r1reward.config.compose import compose_config
from r1reward.launch.run import launch
from r1reward.launch.session import environment, session
from r1reward.machine import janitor
from r1reward.store.rundir import RunDir

SECRETS = {
    "WANDB_API_KEY": "4f1dd9f0c0ffee",
    "OPENAI_API_KEY": "sk-nobody-may-see-this",
    "HF_TOKEN": "hf_nobody_may_see_this",
}
WANDB = ("WANDB_API_KEY", "WANDB_MODE", "WANDB_RUN_ID", "WANDB_DIR", "NETRC")


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    """A home directory without credentials, in an environment without any."""
    for name in (*SECRETS, *WANDB):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "home").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def config(model="hub/name", device="cuda", logger=("console", "wandb"), **ray_init):
    return OmegaConf.create(
        {
            "run": {"name": "an_experiment", "tags": ["an_experiment", "mine"]},
            "trainer": {"device": device, "logger": list(logger)},
            "actor_rollout_ref": {"model": {"path": str(model)}},
            "ray_kwargs": {"ray_init": ray_init},
        }
    )


def variables(cfg, root="run"):
    return environment(cfg, RunDir(Path(root)), "token", cfg.actor_rollout_ref.model.path, "train")


# --- Weights & Biases


def test_without_a_key_wandb_stays_offline_in_the_run_directory(tmp_path) -> None:
    found = variables(config(), tmp_path / "run")
    assert found["WANDB_MODE"] == "offline"
    assert found["WANDB_DIR"] == str(tmp_path / "run")


def test_with_a_key_in_the_environment_wandb_is_online(monkeypatch) -> None:
    monkeypatch.setenv("WANDB_API_KEY", SECRETS["WANDB_API_KEY"])
    assert variables(config())["WANDB_MODE"] == "online"
    monkeypatch.setenv("WANDB_API_KEY", "")
    assert variables(config())["WANDB_MODE"] == "offline"


@pytest.mark.parametrize(
    ("content", "mode"),
    [
        ("machine api.wandb.ai\n  login user\n  password 4f1dd9f0c0ffee\n", "online"),
        ("machine example.org\n  login user\n  password 4f1dd9f0c0ffee\n", "offline"),
        ("no netrc at all", "offline"),
    ],
)
@pytest.mark.parametrize("permissions", [0o600, 0o644])  # W&B reads both
def test_with_a_key_in_netrc_wandb_is_online(home, content, mode, permissions) -> None:
    (home / ".netrc").write_text(content)
    (home / ".netrc").chmod(permissions)
    assert variables(config())["WANDB_MODE"] == mode


def test_netrc_may_lie_elsewhere(home, monkeypatch) -> None:
    (home / "other").write_text("machine api.wandb.ai login user password 4f1dd9f0c0ffee\n")
    monkeypatch.setenv("NETRC", str(home / "other"))
    assert variables(config())["WANDB_MODE"] == "online"


@pytest.mark.parametrize("mode", ["disabled", "offline", "online"])
@pytest.mark.parametrize("key", ["", SECRETS["WANDB_API_KEY"]])
def test_a_mode_that_the_user_sets_is_kept(monkeypatch, mode, key) -> None:
    monkeypatch.setenv("WANDB_MODE", mode)
    monkeypatch.setenv("WANDB_API_KEY", key)
    assert variables(config())["WANDB_MODE"] == mode


def test_a_resumed_run_is_the_same_wandb_run_and_another_is_not(tmp_path) -> None:
    first, again, other = (
        variables(config(), tmp_path / name)["WANDB_RUN_ID"] for name in ("a", "a", "b")
    )
    assert first == again != other
    assert first.isalnum()
    assert variables(config())["WANDB_RESUME"] == "allow"


def test_a_run_is_grouped_with_its_sweep_else_with_its_experiment(tmp_path) -> None:
    alone = variables(config(), tmp_path / "an_experiment" / "20260101-120000")
    swept = variables(config(), tmp_path / "sweeps" / "filters" / "filter=none")
    assert (alone["WANDB_RUN_GROUP"], swept["WANDB_RUN_GROUP"]) == ("an_experiment", "filters")
    assert (alone["WANDB_JOB_TYPE"], alone["WANDB_TAGS"]) == ("train", "an_experiment,mine")


def test_what_waits_to_be_sent_lies_in_the_run_directory(tmp_path) -> None:
    found = variables(config(), tmp_path / "run")
    assert Path(found["WANDB_DATA_DIR"]).is_relative_to(tmp_path / "run")


def test_tensorboard_writes_into_the_run_directory(tmp_path) -> None:
    found = variables(config(logger=["console", "tensorboard"]), tmp_path / "run")
    assert found["TENSORBOARD_DIR"] == f"{tmp_path}/run/tensorboard"
    assert "TENSORBOARD_DIR" not in variables(config())


def test_without_the_wandb_tracker_nothing_is_set_for_it() -> None:
    assert not [name for name in variables(config(logger=["console"])) if name.startswith("WANDB")]


# --- model and device


def test_a_local_model_needs_no_hub_and_a_hub_name_does(tmp_path) -> None:
    assert variables(config(tmp_path))["HF_HUB_OFFLINE"] == "1"
    assert "HF_HUB_OFFLINE" not in variables(config("Qwen/Qwen2.5-VL-3B-Instruct"))


def test_the_cpu_platform_and_its_threads_are_for_the_cpu_only(monkeypatch) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    found = variables(config(device="cpu"))
    assert found["VERL_PLATFORM"] == "cpu"
    assert found["OMP_NUM_THREADS"] == str(os.cpu_count())
    assert not {"VERL_PLATFORM", "OMP_NUM_THREADS"} & set(variables(config(device="cuda")))


def test_workers_get_what_verl_would_give_them(monkeypatch) -> None:
    package = Path(importlib.util.find_spec("verl").origin).parent  # importing takes 20 seconds
    source = (package / "trainer" / "constants_ppo.py").read_text()
    block = source.partition("PPO_RAY_RUNTIME_ENV = {")[2].partition("**")[0]
    theirs = dict(re.findall(r'^ +"(\w+)": "(\w+)",$', block, re.MULTILINE))
    assert theirs["NCCL_DEBUG"] == "WARN"
    for name in theirs:
        monkeypatch.delenv(name, raising=False)
    assert theirs.items() <= variables(config()).items()


def test_the_users_shell_comes_before_a_default_but_not_before_a_need(monkeypatch) -> None:
    monkeypatch.setenv("NCCL_DEBUG", "INFO")
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    monkeypatch.setenv("VERL_PLATFORM", "cuda")
    found = variables(config(device="cpu"))
    assert (found["NCCL_DEBUG"], found["OMP_NUM_THREADS"]) == ("INFO", "3")
    assert found["VERL_PLATFORM"] == "cpu"


# --- secrets


def test_no_secret_is_handed_on_or_written_down(tmp_path, monkeypatch, fake_ray, capfd) -> None:
    """Workers inherit the environment; configuration, journal and log never show it."""
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "config.json").write_text("{}")
    (tmp_path / "model" / "model.safetensors").touch()
    cfg = compose_config(["cluster=gpu1", f"actor_rollout_ref.model.path={tmp_path}/model"])
    cfg.run.dir, cfg.run.name = str(tmp_path / "run"), "secret"
    OmegaConf.resolve(cfg)
    with pytest.raises(SystemExit) as exited:
        launch(cfg)
    assert exited.value.code == 1
    assert fake_ray.options["runtime_env"]["env_vars"]["WANDB_MODE"] == "online"
    run = RunDir(tmp_path / "run")
    assert OmegaConf.load(run.root / "config.yaml") == cfg
    assert {row["event"] for row in run.rows()} == {"started", "failed"}
    shown = capfd.readouterr()
    said = [shown.out, shown.err, str(fake_ray.options)]
    said += [path.read_text() for path in run.root.rglob("*") if path.is_file()]
    assert len(said) == 7  # configuration, journal, log and report
    for text in said:
        assert not [name for name, value in SECRETS.items() if value in text]


# --- session


class FakeRay(ModuleType):
    """Stands in for Ray, which takes a minute: keeps what it was started with, and starts not."""

    def init(self, **options):
        self.options, self.environment = options, dict(os.environ)
        raise ConnectionError("no Ray here")

    def shutdown(self):
        self.ended = True


@pytest.fixture
def fake_ray(monkeypatch):
    ray = FakeRay("ray")
    monkeypatch.setitem(sys.modules, "ray", ray)
    return ray


def started(ray, tmp_path, **ray_init):
    """Start a session that Ray refuses; return the environment of its processes."""
    with (
        pytest.raises(ConnectionError),
        session(config(**ray_init), RunDir(tmp_path / "run")),
    ):
        pytest.fail("the session began without Ray")
    return ray.options["runtime_env"]["env_vars"]


def test_a_session_that_cannot_start_leaves_nothing_behind(tmp_path, fake_ray) -> None:
    before = dict(os.environ)
    found = started(fake_ray, tmp_path)
    assert dict(os.environ) == before
    assert fake_ray.ended
    assert not Path(found["TMPDIR"]).exists()
    assert Path(fake_ray.options["_temp_dir"]).is_relative_to(found["TMPDIR"])
    assert not janitor.processes(found[janitor.TOKEN])


def test_daemons_inherit_what_workers_get(tmp_path, fake_ray) -> None:
    found = started(fake_ray, tmp_path)
    assert found.items() <= fake_ray.environment.items()
    assert found[janitor.TOKEN]


def test_two_sessions_share_no_token(tmp_path, fake_ray) -> None:
    first, second = (started(fake_ray, tmp_path)[janitor.TOKEN] for _ in range(2))
    assert first != second


def test_what_the_user_asks_for_wins_and_becomes_text(tmp_path, fake_ray) -> None:
    asked = {"env_vars": {"NCCL_DEBUG": "INFO", "VLLM_USE_V1": 1}, "working_dir": None}
    found = started(fake_ray, tmp_path, runtime_env=asked, num_cpus=16, num_gpus=None)
    assert found["NCCL_DEBUG"] == "INFO"
    assert found["VLLM_USE_V1"] == "1"
    assert found["WANDB_MODE"] == "offline"  # the rest stays
    assert set(fake_ray.options["runtime_env"]) == {"env_vars"}
    assert fake_ray.options["num_cpus"] == 16
    assert "num_gpus" not in fake_ray.options


def test_a_cluster_that_is_there_keeps_its_own_temporary_files(tmp_path, fake_ray) -> None:
    found = started(fake_ray, tmp_path, address="ray://10.0.0.1:10001")
    assert fake_ray.options["address"] == "ray://10.0.0.1:10001"
    assert "TMPDIR" not in found
    assert "_temp_dir" not in fake_ray.options
    assert "TMPDIR" in started(fake_ray, tmp_path, address=None)


def test_a_cluster_that_is_there_is_joined_with_its_own_settings(tmp_path, fake_ray) -> None:
    """Ray refuses num_cpus and the like with an address (worker.py, ``init``)."""
    room = {"num_cpus": 16, "num_gpus": 1, "object_store_memory": 10**9, "include_dashboard": False}
    found = started(fake_ray, tmp_path, address="auto", **room)
    assert set(fake_ray.options) == {"address", "runtime_env"}
    assert "TMPDIR" not in found  # other machines do not have the directory


def test_hidden_accelerators_do_not_keep_a_cpu_run_from_starting(
    tmp_path, fake_ray, monkeypatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    run = RunDir(tmp_path / "run")
    for device, expected in (("cpu", None), ("cuda", "")):
        with pytest.raises(ConnectionError), session(config(device=device), run):
            pytest.fail("the session began without Ray")
        assert fake_ray.environment.get("CUDA_VISIBLE_DEVICES") == expected
    assert os.environ["CUDA_VISIBLE_DEVICES"] == ""
