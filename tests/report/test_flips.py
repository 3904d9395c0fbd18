"""Verdicts that changed between two validations."""

from omegaconf import OmegaConf
from support.run_page import RIGHT, Run, jsonl, rows_of_pairs

from r1reward.report import flips as changes


def compared(run, steps=(0, 6)):
    config = OmegaConf.load(run.root / "config.yaml")
    return changes.changes(run.root / "validations", list(steps), config.data)


def test_answers_that_name_no_record_cannot_be_compared(tmp_path) -> None:
    run = Run(tmp_path)
    run.answers(0, RIGHT[0], record_uid=False)
    assert compared(run) is None  # one validation
    run.answers(6, RIGHT[6], record_uid=False)
    assert compared(run) is None


def test_of_several_answers_to_a_pair_the_first_counts(tmp_path) -> None:
    run = Run(tmp_path)
    for step, second in ((0, RIGHT[6]), (6, RIGHT[0])):
        run.answers(step, second)
        others = (run.root / "validations" / f"{step}.jsonl").read_text()
        run.answers(step, RIGHT[step])
        with open(run.root / "validations" / f"{step}.jsonl", "a") as file:
            file.write(others)
    found = compared(run)
    assert found.counts == {(False, True): 12, (True, False): 2, (True, True): 10}
    gained = next(item for item in found.items if item["tags"] == ["gained"])
    assert [vote["right"] for vote in gained["votes"]] == [False, True]


def test_data_that_is_gone_leaves_the_counts(tmp_path) -> None:
    run = Run(tmp_path)
    for step in (0, 6):
        run.answers(step, RIGHT[step])
    jsonl(run.data, rows_of_pairs(0))
    found = compared(run)
    assert found.counts[False, True] == 12
    assert (found.items, found.missing) == ([], f"none of the pairs is in {run.data} any more")
    run.data.unlink()
    assert str(run.data) in compared(run).missing


def test_a_page_of_many_changes_stays_small(tmp_path) -> None:
    run = Run(tmp_path)
    jsonl(run.data, rows_of_pairs(1000))
    run.answers(0, set(range(600)), said="long " * 4000)
    run.answers(6, set(range(300, 1000)), said="long " * 4000)
    found = compared(run)
    assert (found.counts[True, False], found.counts[False, True]) == (300, 400)
    kinds = [item["tags"][0] for item in found.items]
    assert (kinds.count("lost"), kinds.count("gained")) == (40, 40)
    longest = max(len(vote["text"]) for item in found.items for vote in item["votes"])
    assert longest < 6100
    assert found.items == compared(run).items
