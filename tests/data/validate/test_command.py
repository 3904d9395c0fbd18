"""What the command lists, takes and refuses."""

import subprocess
import sys

import pytest
from support.broken import record
from support.validate import HEADS, found

from r1reward.config.compose import REPO


def test_good_rows(run, data):
    status, lines = run(data(record(1), record(2), record(3, media=[])))
    assert (status, lines) == (0, [])


def test_every_bad_row_is_listed_with_its_number(run, data):
    path = data(record(1), record(2, label=3), "", '{"question', record(1), *(
        record(10 + n, label=0) for n in range(30)
    ))  # fmt: skip
    status, lines = run(path)
    assert status == 1
    assert [line.split(": ")[0] for line in lines] == [
        f"bad {path}:{number}" for number in (2, 4, *range(6, 36), 5)
    ]
    assert lines[0] == f"bad {path}:2: label: label=3; give 1 or 2, the better response"
    assert "not a JSON object" in lines[1]
    assert lines[-1] == (f"bad {path}:5: duplicate: the same record as {path}:1; keep one of them")


def test_the_first_of_equal_records_stays(run, data):
    first = data(record(1), record(2), record(1), record(1), record(1, label=1))
    second = data(record(3), record(2), name="more.jsonl")
    _, lines = run(f"files=[{first},{second}]")
    assert [line for line in lines if "duplicate: the same" in line] == [
        f"bad {first}:3: duplicate: the same record as {first}:1; keep one of them",
        f"bad {first}:4: duplicate: the same record as {first}:1; keep one of them",
        f"bad {second}:2: duplicate: the same record as {first}:2; keep one of them",
    ]
    warned = [line for line in lines if line.startswith("warning")]
    assert [line.split(": ")[0] for line in warned] == [f"warning {first}:5"]  # another label


@pytest.mark.parametrize("text", ["[/]", "[red]", "[/nothing]", "[bold]x[/bold]", "\\[x]"])
def test_brackets_in_the_data_are_no_markup(run, data, text):
    path = data(record(1, source=text), record(2, label=text))
    status, lines = run(path)
    assert status == 1
    assert lines == [f"bad {path}:2: label: label={text!r}; give 1 or 2, the better response"]


@pytest.mark.parametrize("content", ["", "\n\n"])
def test_a_file_without_rows_is_bad(run, data, content):
    path = data(content)
    assert run(path) == (1, [f"bad {path}: empty: no rows; leave it out"])


@pytest.mark.parametrize("name", ["missing.jsonl", "missing.parquet", "folder.jsonl", "rows.csv"])
def test_what_is_no_data_set_at_all(run, data, tmp_path, name):
    (tmp_path / "folder.jsonl").mkdir()
    (tmp_path / "rows.csv").write_text("a,b")
    status, lines = run(tmp_path / name)
    assert status == 2
    assert lines[0].startswith(f"error {tmp_path / name}: ")


def test_folders_are_data_sets(run, data):
    data(record(1), name="a.jsonl")
    second = data(record(2, label=0), name="b.jsonl")
    status, lines = run(second.parent)
    assert status == 1
    assert [line.split(": ")[0] for line in lines] == [f"bad {second}:1"]


def test_images_are_below_the_media_root_or_beside_the_file(run, data, tmp_path):
    path = data(record(1))
    (tmp_path / "elsewhere").mkdir()
    (path.parent / "good.png").rename(tmp_path / "elsewhere" / "good.png")
    assert run(path)[0] == 1
    assert run(path, f"media_root={tmp_path}/elsewhere")[0] == 0


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ([], "give files="),
        (["files=[a.jsonl]", "data=photos"], "give files="),
        (["data=nonsense"], "data/nonsense"),
        (["files=a.jsonl", "max_token=3"], "max_token"),
        (["files=a.jsonl", "near_duplicates=1.5"], "near_duplicates=1.5"),
        (["files=a.jsonl", "near_duplicates=0"], "near_duplicates=0"),
        (["files=a.jsonl", "workers=0"], "workers=0"),
        (["files=a.jsonl", "languages=[en,xx]"], "languages: nobody knows xx"),
        (["files=a.jsonl", "fix=true"], "go together"),
        (["files=a.jsonl", "out=b"], "go together"),
        (["files=a.jsonl", "min_pixels=9", "max_pixels=8"], "min_pixels=9"),
    ],
)
def test_what_the_command_does_not_take(run, arguments, says):
    status, lines = run(*arguments)
    assert status == 2
    assert says in lines[0]


def test_a_model_without_a_processor(run, data, tmp_path):
    status, lines = run(data(record(1)), "max_tokens=9", f"processor={tmp_path}")
    assert status == 2
    assert f"model {tmp_path}: no Qwen2.5-VL processor" in lines[0]


def test_a_data_option_in_two_processes_and_in_one(run):
    command = [sys.executable, "-m", "r1reward.tools.validate", "data=photos", "workers=2"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=REPO)
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    table = [line.split("│")[1:3] for line in lines if line.startswith("│")]
    shown = {name.strip(): value.strip() for name, value in table}
    assert shown["rows"] == "1,232, 0 bad"  # wc -l of train.jsonl and validation.jsonl
    assert shown["labels"] == "label 1 616, label 2 616"
    assert shown["sources"] == "photos 1,232"
    found = [line for line in lines if line.startswith(HEADS)]
    assert len(found) == 21  # twenty near duplicates, and how many more
    assert run("data=photos") == (0, found)


def test_a_prompt_may_have_as_many_tokens_as_it_has(run, data, tmp_path):
    path = data(record(1), record(2, question="why " * 300))
    status, _ = run(path, "max_tokens=400", f"report={tmp_path}/all.jsonl")
    rows, _ = found(tmp_path / "all.jsonl")
    [(kind, detail)] = rows[2]
    tokens = int(detail.split()[0].replace(",", ""))
    assert (status, kind, list(rows)) == (1, "length", [2])
    assert detail.startswith(f"{tokens:,} tokens, {tokens - 400:,} too many")
    assert run(path, f"max_tokens={tokens}")[0] == 0
    assert run(path, f"max_tokens={tokens - 1}")[0] == 1
