"""Recipes: stages run once for the same command and inputs, and go on where they stopped."""

import json
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir

from r1reward.cli.catalog import find
from r1reward.config import compose as config
from r1reward.config.compose import CONF, REPO
from r1reward.core.errors import ConfigError
from r1reward.recipes.pipeline import Pipeline, Stage, content_hash

RECIPES = sorted(path.stem for path in (CONF / "recipe").glob("*.yaml"))
# Writes $out/text, and a line into a log outside: what was run, in which order.
WRITE = (
    "from pathlib import Path; Path(r'$out').mkdir(exist_ok=True); "
    "Path(r'$out/text').write_text({text}); Path(r'{log}').open('a').write('{name}\\n')"
)


def composed(name: str, *overrides: str):
    config.register_resolvers()
    path = CONF / name
    with initialize_config_dir(str(path.parent), version_base="1.3"):
        return compose(path.name, overrides=list(overrides))


class Recipe:
    """Two stages over one file: ``upper`` reads it, ``twice`` reads what ``upper`` wrote."""

    def __init__(self, root: Path) -> None:
        self.given, self.log, self.work = root / "given", root / "log", root / "work"
        self.given.write_text("one")
        upper = f"Path(r'{self.given}').read_text().upper()"
        self.texts = {"upper": upper, "twice": "Path(r'$upper/text').read_text() * 2"}
        self.inputs = {"upper": [str(self.given)], "twice": []}

    def overrides(self) -> list[str]:
        stages = {}
        for name, text in self.texts.items():
            code = WRITE.format(text=text, log=self.log, name=name)
            run = ["timeit", "-n1", "-r1", code]
            stages[name] = {"about": name, "run": run, "output": "text"}
            stages[name]["inputs"] = self.inputs[name]
        path = self.work.parent / "conf" / "recipe" / "mine.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        # JSON is YAML.
        path.write_text("# @package _global_\n" + json.dumps({"stages": stages}))
        return [
            *("recipe=mine", f"work={self.work}"),
            f"hydra.searchpath=[file://{path.parent.parent}]",
        ]

    def run(self, *more: str, status: int = 0) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "r1reward.recipes.run", *self.overrides(), *more]
        done = subprocess.run(command, cwd=REPO, capture_output=True, text=True)
        assert done.returncode == status, done.stdout + done.stderr
        return done

    def ran(self) -> list[str]:
        """Return the stages that have run since the last call."""
        names = self.log.read_text().split() if self.log.exists() else []
        self.log.unlink(missing_ok=True)
        return names

    def results(self, name: str) -> list[str]:
        return sorted(path.read_text() for path in self.work.glob(f"{name}-*/text"))


def test_what_is_done_is_never_done_again(tmp_path) -> None:
    recipe = Recipe(tmp_path)
    recipe.run()
    assert recipe.ran() == ["upper", "twice"]
    assert recipe.results("twice") == ["ONEONE"]
    done = recipe.run()
    assert recipe.ran() == []
    assert done.stdout.count("done before") == 4  # as they pass, and in the table

    recipe.given.write_text("two")  # an input: all that builds on it
    recipe.run()
    assert recipe.ran() == ["upper", "twice"]
    assert recipe.results("twice") == ["ONEONE", "TWOTWO"]  # nothing is overwritten

    recipe.texts["twice"] += " + '!'"  # a command: from there on
    recipe.run()
    assert recipe.ran() == ["twice"]
    assert recipe.results("twice") == ["ONEONE", "TWOTWO", "TWOTWO!"]

    recipe.given.write_text("one")  # back again
    recipe.texts["twice"] = recipe.texts["twice"].removesuffix(" + '!'")
    recipe.run()
    assert recipe.ran() == []


def test_it_goes_on_where_it_failed(tmp_path) -> None:
    recipe = Recipe(tmp_path)
    right, recipe.texts["twice"] = recipe.texts["twice"], "1 / 0"
    done = recipe.run(status=1)
    assert "twice failed (status 1)" in done.stderr
    recipe.texts["twice"] = right
    recipe.run()
    assert recipe.ran() == ["upper", "twice"]


def test_a_stage_that_was_stopped_is_not_done(tmp_path) -> None:
    recipe = Recipe(tmp_path)
    recipe.run()
    recipe.ran()
    [record] = recipe.work.glob("twice-*.json")
    record.unlink()  # its folder is there, but nobody wrote that it is whole
    recipe.run()
    assert recipe.ran() == ["twice"]


def test_until_and_dry_run(tmp_path) -> None:
    recipe = Recipe(tmp_path)
    done = recipe.run("--dry-run")
    assert not recipe.work.exists()
    assert done.stdout.count("to do") == 2
    recipe.run("until=upper")
    assert recipe.ran() == ["upper"]
    assert "the stages are upper, twice" in recipe.run("until=other", status=2).stderr


def test_what_is_missing_is_named_before_anything_runs(tmp_path) -> None:
    recipe = Recipe(tmp_path)
    recipe.inputs["twice"] = ["no/such/file"]
    assert "not there: no/such/file" in recipe.run(status=2).stderr
    assert recipe.ran() == []
    done = recipe.run("--dry-run")
    assert "not there yet: no/such/file" in done.stdout
    recipe.run("until=upper")  # which does not need it


def test_a_stage_must_write_what_it_says(tmp_path) -> None:
    recipe = Recipe(tmp_path)
    recipe.texts["upper"] = "'x'); Path(r'$out/text').rename(r'$out/other'"
    assert "did not write" in recipe.run(status=2).stderr


@pytest.mark.parametrize(
    ("stages", "words"),
    [
        ([], "give one or more"),
        ([Stage("a", "", ["m", "$b"], "x")], r"stages.a.run names \$b, which is no earlier"),
        ([Stage("a", "", ["m", "$a"], "x")], r"names \$a"),
        ([Stage("a", "", ["m"], "x"), Stage("a", "", ["m"], "x")], "a name of its own"),
    ],
)
def test_what_is_no_pipeline(stages, words, tmp_path) -> None:
    with pytest.raises(ConfigError, match=words):
        Pipeline(stages, tmp_path)


@pytest.mark.parametrize("name", ["out", "package", "A", "a-b", ""])
def test_what_is_no_name(name) -> None:
    with pytest.raises(ConfigError, match="a name has"):
        Stage(name, "", ["module"], "x")


def test_a_folder_is_its_names_and_contents(tmp_path) -> None:
    for name in ("a", "b"):
        (tmp_path / name / "deep").mkdir(parents=True)
        (tmp_path / name / "deep" / "file").write_text("text")
    first = content_hash(tmp_path / "a")
    assert content_hash(tmp_path / "b") == first
    (tmp_path / "b" / "deep" / "file").write_text("texT")
    assert content_hash(tmp_path / "b") != first
    (tmp_path / "a" / "deep" / "file").rename(tmp_path / "a" / "file")
    assert content_hash(tmp_path / "a") != first


@pytest.mark.parametrize("recipe", RECIPES)
def test_every_command_of_a_recipe_takes_its_arguments(recipe, tmp_path) -> None:
    from omegaconf import OmegaConf

    cfg = composed("recipe", f"recipe={recipe}", f"work={tmp_path}")
    given = OmegaConf.to_container(cfg.stages, resolve=True)
    stages = [Stage(name=name, **stage) for name, stage in given.items()]
    pipeline = Pipeline(stages, tmp_path)
    for name in pipeline.stages:
        command, *given = pipeline.command(name)  # an unknown key or option fails
        found = find(command)
        assert found is not None
        if found.parses:
            import_module(found.module).parser().parse_args(given)
        else:
            assert found.config is not None
            composed(found.config, *given)


def test_the_paper_recipe_says_what_it_takes() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "r1reward.recipes.run", "recipe=paper", "--dry-run"],
        cwd=REPO,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert "hours (time +-30%" in done.stdout
    assert "not there yet: " in done.stdout
