"""Mixing data sets: what stays, what is drawn, parts that share nothing, the same every time."""

import base64
import fcntl
import json
import random
import subprocess
import sys
from collections import Counter
from itertools import pairwise

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from r1reward.config.compose import CONF, REPO, register_resolvers
from r1reward.core.record import read_records
from r1reward.core.rows import RowError, scan_rows
from r1reward.data.mix.run import mix
from r1reward.data.mix.select import Input, MixError, Selection, Settings
from r1reward.store.shards import read_manifest, write_shard
from r1reward.tools.mix import inputs_of, settings_of

HALVES = {"one": 0.5, "two": 0.5}


def row(number, source="a", image=None, **fields):
    """Return a record that shares nothing with others, unless told to."""
    media = [] if image is None else [{"kind": "image", "uri": "x", "bytes": image.encode()}]
    record = {"question": f"Question {number}?", "responses": ["Yes.", f"No {number}."]}
    return record | {"label": 1 + number % 2, "media": media, "source": source} | fields


def solved(attempts, reasoning="Since."):
    return {"attempts": attempts, "solved": True, "reasoning": reasoning}


def unsolved(attempts=3):
    return {"attempts": attempts, "solved": False}


@pytest.fixture
def write(tmp_path):
    """Write a data set; its folder is ``name``."""

    def to_folder(rows, name="data", size=100):
        for start in range(0, len(rows), size):
            write_shard(tmp_path / name / f"{start:06d}.parquet", rows[start : start + size])
        return tmp_path / name

    return to_folder


@pytest.fixture
def made(tmp_path):
    """Mix; return the rows of each part as they were written, and what became of the others."""
    runs = iter(range(100))

    def run(*paths, out=None, workers=1, weights=(), **settings):
        out = out or tmp_path / f"out{next(runs)}"
        weights = list(weights) or [None] * len(paths)
        inputs = [
            Input(path, path if path.is_dir() else path.parent, weight)
            for path, weight in zip(paths, weights, strict=True)
        ]
        made = mix(inputs, Settings(**settings), out, workers, "the command", lambda _: None)
        parts = {name: [item for _, item in scan_rows(out / name)] for name in made.parts}
        dropped = [json.loads(line) for line in (out / "dropped.jsonl").read_text().splitlines()]
        return parts, dropped, made

    return run


def questions(rows):
    return [row["question"] for row in rows]


def shards(folder):
    return [shard["sha256"] for shard in read_manifest(folder)["shards"]]


# What stays.


ANNOTATED = [
    row(0, **solved(1)), row(1, **solved(2)), row(2, **solved(3)), row(3, **unsolved()),
    row(4, **unsolved(1)), row(5), row(6, **solved(1, reasoning=None)),
    row(7, source="b", **solved(2)),
]  # fmt: skip


@pytest.mark.parametrize(
    ("option", "stay"),
    [("all", range(8)), ("rl", [1, 2, 3, 4, 7]), ("sft", [0, 1, 2, 7])],
)
def test_selections_by_difficulty(write, made, option, stay):
    settings = settings_of(composed("inputs=[x]", f"select={option}"), weighted=False)
    parts, dropped, _ = made(write(ANNOTATED), select=settings.select)
    assert sorted(questions(parts["train"])) == [f"Question {n}?" for n in stay]
    assert len(dropped) == 8 - len(stay)
    kept = {item["question"]: item for item in parts["train"]}
    if option == "sft":
        assert kept["Question 1?"]["reasoning"] == "Since."
        reasons = Counter(line["reason"] for line in dropped)
        assert reasons == {"other difficulty": 3, "no reasoning": 1}


@pytest.mark.parametrize(
    ("chosen", "stay"),
    [
        ({"attempts": (3, 3), "unsolved": False, "unannotated": False}, [2]),
        ({"attempts": None, "unannotated": False}, [3, 4]),
        ({"attempts": None, "unsolved": False}, [5]),
    ],
)
def test_ranges_of_attempts(write, made, chosen, stay):
    parts, _, _ = made(write(ANNOTATED), select=Selection(**chosen))
    assert sorted(questions(parts["train"])) == [f"Question {n}?" for n in stay]


def test_an_annotators_liking_for_one_side_is_drawn_away(write, made):
    # All hard pairs have the better response second: what an annotator that likes the first finds.
    rows = [row(n, label=2, **solved(2)) for n in range(400)]
    settings = settings_of(composed("inputs=[x]", "select=rl"), weighted=False)
    parts, dropped, _ = made(write(rows), select=settings.select)
    kept = {item["question"]: item for item in parts["train"]}
    assert len(kept) == 400
    assert not dropped
    labels = Counter(item["label"] for item in kept.values())
    assert abs(labels[1] - 200) < 60  # six standard deviations of a fair coin
    for given in rows:
        item = kept[given["question"]]
        first, second = given["responses"]
        assert item["responses"][item["label"] - 1] == second  # the better one stays the better
        assert sorted(item["responses"]) == sorted([first, second])
        assert item["reasoning"] == (None if item["label"] == 1 else given["reasoning"])
        assert (item["attempts"], item["solved"]) == (2, True)
    again, _, _ = made(write(rows), select=settings.select)
    assert {item["question"]: item for item in again["train"]} == kept


def test_a_reasoning_is_about_one_order():
    cfg = composed("inputs=[x]", "select=sft", "select.reorder=true")
    with pytest.raises(MixError, match="about one order"):
        settings_of(cfg, weighted=False)


def test_sources(write, made):
    parts, dropped, _ = made(write(ANNOTATED), sources=("b", "c"))
    assert questions(parts["train"]) == ["Question 7?"]
    assert {line["reason"] for line in dropped} == {"other source"}


# How much is drawn.


def test_numbers_and_fractions_of_sources(write, made):
    rows = [row(n, source="abcd"[n % 4]) for n in range(2000)]
    parts, dropped, _ = made(write(rows), take={"a": 40, "b+c": 60}, fraction={"d": 0.3})
    found = Counter(item["source"] for item in parts["train"])
    assert found["a"] == 40
    assert found["b"] + found["c"] == 60
    assert 115 <= found["d"] <= 185  # 150 of 500, give or take 3.4 standard deviations of 10.2
    assert Counter(line["reason"] for line in dropped) == {"not drawn": 2000 - found.total()}


def test_strata_keep_their_proportions(write, made):
    # 600, 300, 90 and 10 of 1000: 37 of them are 22.2, 11.1, 3.33, 0.37: 22, 11, 3, and 1 more to
    # the largest remainder, the last.
    kinds = [solved(1)] * 600 + [solved(2)] * 300 + [unsolved()] * 90 + [{}] * 10
    rows = [row(n, **kind) for n, kind in enumerate(kinds)]
    parts, _, _ = made(write(rows), take={"a": 37}, stratify=("source", "difficulty"))
    found = Counter((item["attempts"], item["solved"]) for item in parts["train"])
    assert found == {(1, True): 22, (2, True): 11, (3, False): 3, (None, None): 1}
    sources = [row(n, source="a" if n < 750 else "b") for n in range(1000)]
    parts, _, _ = made(write(sources, "other"), rows=100, stratify=("source",))
    assert Counter(item["source"] for item in parts["train"]) == {"a": 75, "b": 25}


def test_weights_are_proportions_without_repeats(write, made):
    first = write([row(n) for n in range(300)], "first")
    second = write([row(n, source="b") for n in range(300, 400)], "second")
    parts, _, _ = made(first, second, weights=(1, 1))
    assert Counter(item["source"] for item in parts["train"]) == {"a": 100, "b": 100}
    parts, _, _ = made(first, second, weights=(3, 1))
    assert Counter(item["source"] for item in parts["train"]) == {"a": 300, "b": 100}
    parts, _, _ = made(first, second, weights=(1, 4), rows=50)
    assert Counter(item["source"] for item in parts["train"]) == {"a": 10, "b": 40}
    with pytest.raises(MixError, match="rows=300: with these weights there are 200"):
        made(first, second, weights=(1, 1), rows=300)


def test_too_few_rows_are_said(write, made):
    data = write([row(n) for n in range(10)])
    parts, _, result = made(data, take={"a+b": 20})
    assert len(parts["train"]) == 10
    assert result.notes == ["take.a+b: no b in the inputs", "take.a+b: 20 asked for, 10 there"]
    with pytest.raises(MixError, match=r"take\.c: no such source in the inputs; there are: a"):
        made(data, take={"c": 20})


# Parts.


def tangled(count, seed):
    """Return records of which many share an image or a question, in other words or files."""
    draw = random.Random(seed)
    for number in range(count):
        word = draw.randrange(count)
        question = draw.choice(
            [f"What is {word}?", f" WHAT  is\t{word}", f"<image>what is {word}."]
        )
        images = [f"image {draw.randrange(count)}" for _ in range(draw.choice([0, 1, 1, 1, 2]))]
        media = [{"kind": "image", "uri": f"{number}", "bytes": i.encode()} for i in images]
        yield row(number, question=question, media=media)


def shared_keys(item):
    words = item["question"].lower().replace("<image>", "").strip(" .?").split()
    return {" ".join(words)} | {media["bytes"] for media in item["media"]}


@pytest.mark.parametrize("seed", range(3))
def test_parts_share_no_image_and_no_question(write, made, seed):
    rows = list(tangled(400, seed))
    parts, _, result = made(write(rows), split={"a": 0.6, "b": 0.3, "c": 0.1}, seed=seed)
    keys = [set().union(*map(shared_keys, part)) for part in parts.values()]
    assert sum(map(len, keys)) == len(set().union(*keys))
    assert sum(map(len, parts.values())) == 400
    assert "are one group" in result.notes[0]  # a walk from record to record reaches most


def test_parts_have_their_shares_where_little_is_shared(write, made):
    rows = [row(n, image=f"image {n // 2}") for n in range(2000)]
    parts, _, result = made(write(rows), split={"train": 0.9, "validation": 0.1})
    # 1000 pairs, each in validation with probability 0.1: 100, standard deviation 9.5.
    assert 2 * 65 <= len(parts["validation"]) <= 2 * 135
    assert not result.notes


def test_a_stock_question_ties_no_images_together(write, made):
    rows = [row(n, question="Describe the image.", image=f"{n // 2}") for n in range(40)]
    rows += [row(n, question="Tell a joke.") for n in range(40, 60)]  # without an image
    rows += [row(n, question=f"Why {n // 3}?", image=f"{n}") for n in range(60, 90)]
    with pytest.raises(MixError, match="stock_questions=10"):
        made(write(rows[:40], "stock"), split=HALVES)
    parts, _, _ = made(write(rows), split=HALVES, stock=10)
    where = {item["responses"][1]: name for name, part in parts.items() for item in part}
    place = [where[f"No {n}."] for n in range(90)]
    assert all(place[n] == place[n + 1] for n in range(0, 40, 2))
    assert len(set(place[:40])) == 2
    assert len(set(place[40:60])) == 1
    assert all(len(set(place[n : n + 3])) == 1 for n in range(60, 90, 3))


def test_two_mixes_of_one_set_agree_about_parts(write, made):
    rows = [
        row(n, image=f"{n // 3}", **(solved(1), solved(2), unsolved())[n % 3]) for n in range(300)
    ]
    data = write(rows)
    sft, _, _ = made(data, split=HALVES, select=Selection(unsolved=False, reasoning=True))
    rl, _, _ = made(data, split=HALVES, select=Selection(attempts=(2, 127)))
    images = [{i["media"][0]["bytes"] for i in part} for part in (sft["one"], rl["two"])]
    assert images[0]
    assert not images[0] & images[1]


# The same every time.


def test_neither_the_order_of_inputs_nor_of_rows_nor_workers_matter(write, made, tmp_path):
    rows = list(tangled(300, 7))
    parts = [write(rows[:150], "x"), write(rows[150:], "y")]
    turned = write(rows[::-1], "z")
    settings = {"split": {"train": 0.8, "rest": 0.2}, "stock": 1, "take": {"a": 200}}
    settings |= {"shard_bytes": 20_000}
    first = made(*parts, out=tmp_path / "first", **settings)
    second = made(*parts[::-1], out=tmp_path / "second", workers=2, **settings)
    third = made(turned, out=tmp_path / "third", **settings)
    assert first[0] == second[0] == third[0]
    for name in ("train", "rest"):
        assert shards(tmp_path / "first" / name) == shards(tmp_path / "second" / name)
        assert shards(tmp_path / "first" / name) == shards(tmp_path / "third" / name)
    assert len(shards(tmp_path / "first" / "train")) > 1
    assert made(*parts, **settings, seed=1)[0] != first[0]


def test_added_records_leave_the_others_where_they_were(write, made):
    rows = [row(n, source="ab"[n % 2], image=f"{n}") for n in range(1000)]
    settings = {"split": HALVES, "fraction": {"a": 0.5}}
    before, _, _ = made(write(rows[:800], "few"), **settings)
    after, _, _ = made(write(rows, "more"), **settings)
    for name in HALVES:
        old = set(questions(before[name]))
        assert [question for question in questions(after[name]) if question in old] == questions(
            before[name]
        )
        assert old <= set(questions(after[name]))
    few, _, _ = made(write(rows[:800], "few"), take={"a": 100})
    more, _, _ = made(write(rows, "more"), take={"a": 100})
    first = {item["question"] for item in few["train"] if item["source"] == "a"}
    second = {item["question"] for item in more["train"] if item["source"] == "a"}
    # The 100 lowest of 500 hashes: those of the 400 old ones among them were low before.
    assert second & {f"Question {n}?" for n in range(800)} <= first


def test_the_order_is_shuffled(write, made):
    parts, _, _ = made(write([row(n) for n in range(100)]))
    numbers = [int(question[9:-1]) for question in questions(parts["train"])]
    falls = sum(one > other for one, other in pairwise(numbers))
    assert 35 <= falls <= 64  # of 99, each as likely as not


# Rows that are in no part.


def test_duplicates_go_and_the_annotated_one_stays(write, made, tmp_path):
    (tmp_path / "lines").mkdir()
    (tmp_path / "lines" / "photo.png").write_bytes(b"pixels")
    uri = base64.b64encode(b"pixels").decode()
    plain = row(1) | {"media": [{"kind": "image", "uri": "photo.png"}]}
    inline = plain | {"media": [{"kind": "image", "uri": f"data:image/png;base64,{uri}"}]}
    lines = tmp_path / "lines" / "rows.jsonl"
    lines.write_text("".join(json.dumps(item) + "\n" for item in (plain, row(2), inline, row(2))))
    data = write([row(1, image="pixels", **solved(2)), row(1, image="pixels", label=1)])
    parts, dropped, _ = made(lines, data)
    kept = sorted(parts["train"], key=lambda item: (item["question"], item["label"]))
    assert [(item["question"], item["label"], item["attempts"]) for item in kept] == [
        ("Question 1?", 1, None), ("Question 1?", 2, 2), ("Question 2?", 1, None),
    ]  # fmt: skip
    first = f"{data}/000000.parquet:1"
    assert [(line["where"], line["reason"], line["detail"]) for line in dropped] == [
        (f"{lines}:1", "duplicate", f"the same record as {first}"),
        (f"{lines}:3", "duplicate", f"the same record as {first}"),
        (f"{lines}:4", "duplicate", f"the same record as {lines}:2"),
    ]
    assert dropped[0]["uid"] == dropped[1]["uid"] != dropped[2]["uid"]


def test_bad_rows_are_listed_and_the_others_go_through(made, tmp_path):
    def media(uri, kind="image", **fields):
        return {"media": [{"kind": kind, "uri": uri, **fields}]}

    (tmp_path / "frames").mkdir()
    (tmp_path / "frames" / "1.png").write_bytes(b"frame")
    (tmp_path / "empty.png").touch()
    bad = [
        (row(1, label=3), "record", "label=3"),
        ([1, 2], "record", "expected an object"),
        (row(2, **media("missing.png")), "media", "No such file"),
        (row(3, **media("../outside.png")), "media", "outside the media folder"),
        (row(4, **media("https://example.com/a.png")), "media", "remote"),
        (row(5, **media("frames", "video")), "media", "embed=false"),
        (row(6, **media("empty.png")), "media", "empty"),
        (row(7, **media("data:image/png;base64,####")), "record", "base64"),
        (row(8, **media("x", bytes="text")), "media", "No such file"),
        (row(9, attempts=2), "record", "attempts=2"),
        (row(10, attempts=0, solved=False), "record", "attempts=0"),
        (row(11, reasoning=["x"]), "record", "reasoning"),
        (row(12, **media("nul\0byte.png")), "media", "null"),
    ]
    lines = [json.dumps(item).encode() for item, _, _ in bad] + [b"\xff{}", b"{", b""]
    path = tmp_path / "rows.jsonl"
    path.write_bytes(b"\n".join([*lines, json.dumps(row(0)).encode()]) + b"\n")
    parts, dropped, _ = made(path)
    assert questions(parts["train"]) == ["Question 0?"]
    assert [line["where"] for line in dropped] == [f"{path}:{n + 1}" for n in range(len(bad) + 2)]
    for line, (_, reason, words) in zip(dropped, bad, strict=False):
        assert line["reason"] == reason
        assert words in line["detail"]


def test_an_input_that_cannot_be_read_stops_the_mix(write, made, tmp_path):
    data = write([row(1)])
    (data / "torn.parquet").write_bytes((data / "000000.parquet").read_bytes()[:-100])
    with pytest.raises(RowError, match=r"torn\.parquet"):
        made(data)
    with pytest.raises(RowError, match="missing"):
        made(tmp_path / "missing", out=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_mix_of_nothing_says_why(write, made, tmp_path):
    with pytest.raises(MixError, match=r"no row stays \(other difficulty 2, no reasoning 1\)"):
        made(write([row(1), row(2, **unsolved()), row(3, **solved(1, None))]),
             select=Selection(unsolved=False, unannotated=False, reasoning=True))  # fmt: skip
    (tmp_path / "rows.jsonl").touch()
    with pytest.raises(MixError, match="the inputs have none"):
        made(tmp_path / "rows.jsonl")


# What is written.


def test_what_a_part_holds(made, tmp_path):
    photo = (REPO / "recipes/photos/images").iterdir().__next__()
    given = row(1, **solved(2), origin="17") | {"media": [{"kind": "image", "uri": photo.name}]}
    path = tmp_path / "rows.jsonl"
    path.write_text(json.dumps(given))
    (tmp_path / photo.name).write_bytes(photo.read_bytes())
    [item] = made(path, out=tmp_path / "out")[0]["train"]
    given["media"][0]["bytes"] = photo.read_bytes()
    assert item == given
    [record] = read_records(tmp_path / "out" / "train")
    assert base64.b64decode(record.media[0].uri.partition(",")[2]) == photo.read_bytes()
    manifest = read_manifest(tmp_path / "out" / "train")
    assert manifest["command"] == "the command"
    assert (manifest["rows"], manifest["sources"]) == (1, {"a": 1})
    assert manifest["labels"] == {"1": 0, "2": 1}
    assert manifest["difficulty"] == {"2": 1}
    assert manifest["inputs"][0]["files"][0]["bytes"] == path.stat().st_size
    [item] = made(path, embed=False)[0]["train"]
    assert item["media"] == [{"kind": "image", "uri": str(tmp_path / photo.name), "bytes": None}]


def test_a_mix_goes_on_where_it_stopped(write, made, tmp_path):
    data, out = write([row(n) for n in range(200)]), tmp_path / "out"
    settings = {"split": HALVES, "shard_bytes": 5_000}
    before, _, _ = made(data, out=out, **settings)
    hashes = {name: shards(out / name) for name in HALVES}
    (out / "one" / "manifest.json").unlink()
    (out / "one" / "part-00001.parquet").unlink()
    (out / ".spool").mkdir()
    (out / ".spool" / "0").write_text("half a row")
    times = {path: path.stat().st_mtime_ns for path in out.rglob("*.parquet")}
    after, _, result = made(data, out=out, **settings)
    assert after == before
    assert hashes == {name: shards(out / name) for name in HALVES}
    assert result.reused == len(times) == sum(map(len, hashes.values())) - 1
    assert times.items() <= {p: p.stat().st_mtime_ns for p in out.rglob("*.parquet")}.items()
    assert not (out / ".spool").exists()


def test_another_mix_into_the_same_folder_is_refused(write, made, tmp_path):
    data, out = write([row(n) for n in range(20)]), tmp_path / "out"
    made(data, out=out)
    with pytest.raises(MixError, match="another mix is there, with other seed and settings"):
        made(data, out=out, seed=1)
    write([row(n) for n in range(30)])
    with pytest.raises(MixError, match="with other inputs"):
        made(data, out=out)
    with pytest.raises(MixError, match="something else is there"):
        made(data, out=data)
    assert not (data / ".lock").exists()
    with open(out / ".lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(MixError, match="being made there"):
            made(data, out=out)


# The command.


def composed(*overrides):
    register_resolvers()
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return OmegaConf.to_container(compose("mix", ["out=x", *overrides]), resolve=True)


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("take={a:0}", "take.a=0"),
        ("take={a:0.5}", "take.a=0.5"),
        ("fraction={a:1.5}", "fraction.a=1.5"),
        ("split={a:0.5,b:0.4}", "add up to 0.9"),
        ("split={../a:1.0}", r"split\.\.\./a"),
        ("stratify=[label]", "stratify"),
        ("rows=0", "rows=0"),
        ("stock_questions=-1", "stock_questions=-1"),
        ("select.attempts=[3,2]", "attempts"),
        ("shard_mb=0", "shard_mb=0"),
        ("embed=maybe", "embed=maybe"),
        ("select.unsolved=2", "select.unsolved=2"),
    ],
)
def test_a_setting_that_cannot_be_is_named(override, words):
    with pytest.raises(MixError, match=words):
        settings_of(composed("inputs=[x]", override), weighted=False)


def test_settings_that_contradict_each_other():
    with pytest.raises(MixError, match="b is drawn more than once"):
        settings_of(composed("inputs=[x]", "take={a+b:5,b:4}"), weighted=False)
    with pytest.raises(MixError, match="not both"):
        settings_of(composed("inputs=[x]", "take={a:5}"), weighted=True)
    for given, words in (
        ("[]", "list of paths"),
        ("[{path: a, wieght: 2}]", "unknown wieght"),
        ("[{weight: 2}]", "no path"),
        ("[{path: a, weight: 0}]", "weight=0"),
        ("[{path: a, weight: 1}, b]", "all of them"),
        ("[a, ./a]", "more than once"),
    ):
        with pytest.raises(MixError, match=words):
            inputs_of(composed(f"inputs={given}")["inputs"])


def test_the_mixture_of_the_paper():
    cfg = composed("inputs=[x]", "mixture=paper")
    settings = settings_of(cfg, weighted=False)
    [(pool, number)] = settings.take.items()
    assert (number, len(pool.split("+"))) == (100_000, 4)
    assert len(settings.sources) == 8
    assert set(pool.split("+")) < set(settings.sources)


def test_the_command(tmp_path):
    photos = REPO / "recipes" / "photos"
    run = [
        sys.executable,
        "-m",
        "r1reward.tools.mix",
        f"inputs=[{photos}/train.jsonl,{photos}/test.jsonl]",
    ]
    run += [f"out={tmp_path}/out", "split={train: 0.8, validation: 0.2}"]
    done = subprocess.run(run, capture_output=True, text=True, cwd=REPO)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert "stock_questions=10" in done.stderr
    run += ["stock_questions=10", "workers=2"]
    done = subprocess.run(run, capture_output=True, text=True, cwd=REPO)
    assert done.returncode == 0, done.stderr
    sizes = [len(list(read_records(tmp_path / "out" / part))) for part in ("train", "validation")]
    assert sum(sizes) == 1252
    assert f"│ all    │ 1,252 │ {sizes[0]:>5,} │ {sizes[1]:>10} │" in done.stdout
    assert "1,252 rows in, 1,252 out" in done.stdout
