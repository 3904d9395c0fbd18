"""``make decontaminate``: what benchmarks ask and show leaves a training set, nothing else does."""

import json
import shutil
import subprocess
import sys

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from r1reward.config.compose import REPO
from r1reward.core.media import ImageError
from r1reward.core.record import Media, Record, read_records
from r1reward.data.decontaminate.match import Rules, Screen
from r1reward.data.decontaminate.prompts import PromptIndex
from r1reward.data.decontaminate.references import (
    Reference,
    UnusableReferenceError,
    index_references,
)
from r1reward.store.files import holding
from r1reward.tools.bench.decontaminate import main as measure
from r1reward.tools.bench.decontaminate import prompts
from r1reward.tools.bench.planted import CHANGES, PROMPT_CHANGES, prompt, seeded
from r1reward.tools.decontaminate import main

PHOTOS = REPO / "recipes" / "photos"
SPLITS = {
    name: [json.loads(line) for line in (PHOTOS / f"{name}.jsonl").read_text().splitlines()]
    for name in ("train", "test")
}
RULES = Rules("either", True, 0.9, 0.6, 50, 3)
LONG = "Which of the three wooden ladders behind the old windmill is the longest, and why?"
STOCK = "Describe this image in detail."
TEMPLATE = "First perform reasoning, then select the right letter from the choices. Question: "


def record(question=STOCK, *uris, kind="image", **fields):
    media = tuple(Media(kind, str(uri)) for uri in uris)
    values = {"responses": ("Yes.", "No."), "label": 1, "source": "test"} | fields
    return Record(question=question, media=media, **values)


# --- prompts


def runs(text):
    return {text[place : place + 5] for place in range(len(text) - 4)}


def test_the_similarity_of_prompts_is_the_share_of_common_shingles():
    one = "what is the old man near the yellow boat holding in his left hand"
    other = "what is the old man near the yellow boat hiding in his right hand"
    [match] = PromptIndex([one], ["a"], 3).find(other, 0.1)
    shared = runs(one) & runs(other)
    assert match.similarity == pytest.approx(len(shared) / len(runs(one) | runs(other)))
    assert match.specific == len(shared)
    assert not match.exact


@pytest.mark.parametrize("change", ["the same", "in capitals", "other white space",
                                    "other punctuation", "placeholder before"])  # fmt: skip
def test_a_prompt_in_other_dress_is_the_same(change):
    index = PromptIndex([LONG, STOCK], ["a", "b"], 3)
    for number, text in enumerate((LONG, STOCK)):
        [match] = index.find(PROMPT_CHANGES[change](text, seeded()), 0.6)
        assert (match.prompt, match.exact, match.similarity) == (number, True, 1.0)


def test_signs_of_a_formula_are_no_punctuation():
    index = PromptIndex(["What is the value of 3 - 2 + 1 in the figure above?"], ["a"], 3)
    [match] = index.find("What is the value of 3 + 2 - 1 in the figure above?", 0.1)
    assert not match.exact


def test_planted_prompts_are_found_and_others_of_the_same_make_are_not():
    copies, [wrong] = prompts(RULES, 200, seed=1)
    assert wrong.found == 0
    bounds = {"one word changed": 0.9, "sentences in another order": 0.9}
    for copy in copies:
        assert copy.n > 100
        assert copy.found / copy.n >= bounds.get(copy.what, 0.95), copy.what


def test_a_template_says_nothing_about_where_a_prompt_comes_from():
    rng = seeded(2)
    asked = [TEMPLATE + prompt(rng, 1) for _ in range(8)]
    index = PromptIndex(asked, [str(n) for n in range(8)], 3)
    assert index.find(TEMPLATE + prompt(rng, 1), 0.3) == []
    [match] = index.find(TEMPLATE + asked[3].removeprefix(TEMPLATE) + " Say it in a word.", 0.6)
    assert match.prompt == 3
    # The same texts, where the template is that of few images, are alike.
    assert PromptIndex(asked[:3], ["a", "b", "c"], 3).find(TEMPLATE + prompt(rng, 1), 0.3)


def test_what_is_asked_of_many_images_is_not_specific():
    index = PromptIndex([LONG] * 5 + [STOCK], ["a", "b", "c", "d", "e", "a"], 3)
    assert index.first == [0, 0, 0, 0, 0, 5]
    assert index.find(LONG, 0.6)[0].specific == 0
    assert PromptIndex([LONG] * 5, ["a"] * 5, 3).find(LONG, 0.6)[0].specific > 50


def test_a_very_long_prompt_costs_little():
    index = PromptIndex([LONG], ["a"], 3)
    assert index.find("word after word " * 70_000, 0.6) == []


# --- rules


@pytest.fixture
def shown(tmp_path):
    """Photos of the embedded set, as files of a benchmark and of a training set."""
    names = ("tools-hammer1", "tools-hammer5", "others-knife", "others-pencil")
    for name in names:
        image = Image.open(PHOTOS / "images" / f"categorization-{name}.webp")
        image.save(tmp_path / f"{name.partition('-')[2]}.png")
    frames = tmp_path / "video"
    frames.mkdir()
    shutil.copy(tmp_path / "pencil.png", frames / "frame_1.png")
    return tmp_path


@pytest.fixture
def screen(shown):
    """Compares with three items: a hammer and a stock question, a knife and a long one, a video."""

    def build(**rules):
        items = [
            ("a", 0, STOCK, Media("image", "hammer1.png")),
            ("a", 1, LONG, Media("image", "knife.png")),
            ("b", 0, "What is this?", Media("video", "video")),
        ]
        references = [
            Reference(name, index, f"{name}-{index}", question, (media,), str(shown))
            for name, index, question, media in items
        ]
        chosen = Rules(**{f: rules.get(f, getattr(RULES, f)) for f in Rules.__slots__})
        folder = shown / "-".join(["index", *map(str, rules.values())])
        folder.mkdir()
        index_references(references, folder, chosen.images, 1, lambda _: None)
        return Screen(folder, chosen)

    return build


def reasons(screen, record, root):
    return [(match.reason, match.benchmark, match.index) for match in screen.matches(record, root)]


def test_an_image_or_a_specific_prompt_suffices(screen, shown):
    either = screen()
    assert either.specific() == {"a": 1, "b": 0}
    cases = [
        (record(STOCK), []),
        (record(LONG), [("exact_prompt", "a", 1)]),
        (record(f"Please answer: {LONG}"), [("near_prompt", "a", 1)]),
        (record("Is it heavy?", "hammer1.png"), [("exact_image", "a", 0)]),
        (record(STOCK, "hammer1.png"), [("exact_image", "a", 0), ("exact_prompt", "a", 0)]),
        (record(STOCK, "hammer5.png"), []),
        (record(LONG, "hammer1.png"), [("exact_image", "a", 0), ("exact_prompt", "a", 1)]),
        (record("Is it sharp?", "hammer5.png", "pencil.png"), [("exact_image", "b", 0)]),
        (record("Is it sharp?", "video", kind="video"), [("exact_image", "b", 0)]),
    ]
    for given, wanted in cases:
        assert reasons(either, given, shown) == wanted


def test_both_must_be_of_one_item(screen, shown):
    both = screen(drop="both")
    cases = [
        (record(LONG), []),
        (record("Is it heavy?", "hammer1.png"), []),
        (record(LONG, "hammer1.png"), []),
        (record(STOCK, "hammer1.png"), [("exact_image", "a", 0), ("exact_prompt", "a", 0)]),
        (
            record("What is this?", "pencil.png"),
            [("exact_image", "b", 0), ("exact_prompt", "b", 0)],
        ),
    ]
    for given, wanted in cases:
        assert reasons(both, given, shown) == wanted


def test_without_images_specific_prompts_alone(screen, shown):
    texts = screen(images=False)
    assert reasons(texts, record("Is it heavy?", "hammer1.png"), shown) == []
    assert reasons(texts, record(LONG, "missing.png"), shown) == [("exact_prompt", "a", 1)]


def test_a_changed_image_is_near(screen, shown):
    change = CHANGES["0 to 10% off, 50%, JPEG 60"]
    change(Image.open(shown / "knife.png"), seeded(1)).save(shown / "new.png")
    [match] = screen().matches(record("Is it sharp?", "new.png"), shown)
    assert (match.reason, match.benchmark, match.id) == ("near_image", "a", "a-1")
    assert match.uri == "knife.png"
    assert 0.9 <= match.similarity < 1


def test_an_image_that_cannot_be_opened_is_an_error(screen, shown):
    (shown / "half.png").write_bytes((shown / "knife.png").read_bytes()[:2000])
    for uri, words in (("half.png", "damaged"), ("none.png", "no such image")):
        with pytest.raises(ImageError, match=words):
            screen().matches(record(LONG, uri), shown)
        shutil.rmtree(shown / "index")
    reference = Reference("a", 4, "a-4", LONG, (Media("image", "half.png"),), str(shown))
    with pytest.raises(UnusableReferenceError, match=r"a, row 5 \(a-4\): .*half\.png: damaged"):
        index_references([reference], shown, True, 1, lambda _: None)


# --- the command


@pytest.fixture
def training(planted_set, tmp_path):
    """A training set with planted copies of the photos benchmark, and what must become of each."""
    folder, planted = planted_set
    return shutil.copytree(folder, tmp_path / "set"), planted


@pytest.fixture(scope="module")
def planted_set(tmp_path_factory):
    """The same, for all tests: they change nothing here."""
    folder = tmp_path_factory.mktemp("planted")
    (folder / "images").mkdir()
    names = ["PNG", "JPEG, quality 50", "10% off each side", "scaled to 50%"]
    rows, planted = [], {}
    for number, row in enumerate(small("test", 8) + small("train", 40)):
        held_out = number < 8
        name = names[number % len(names)]
        image = Image.open(PHOTOS / row["media"][0]["uri"]).convert("RGB")
        uri = f"images/{number}.png"
        CHANGES[name](image, seeded(number)).save(folder / uri)
        rows.append({**row, "media": [{"kind": "image", "uri": uri}], "origin": f"row {number}"})
        if held_out:
            planted[uri] = "exact_image" if name == "PNG" else "near_image"
    write_lines(folder / "rows.jsonl", seeded(0).sample(rows, len(rows)))
    return folder, planted


def small(split, count):
    """Return rows about different photos, of those that are quickly written."""
    found = {}
    for row in SPLITS[split]:
        uri = row["media"][0]["uri"]
        if max(Image.open(PHOTOS / uri).size) <= 320:
            found.setdefault(uri, row)
    return list(found.values())[:count]


def write_lines(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.fixture
def run(monkeypatch, capsys):
    """Run the command; return its exit status, what it printed, and its error."""

    def command(source, out, *overrides):
        given = [f"input={source}", f"out={out}", "workers=1", *overrides]
        if not any(item.startswith("benchmarks=") for item in given):
            given.append("benchmarks=[photos]")
        monkeypatch.setattr(sys, "argv", ["decontaminate", *given])
        status = 0
        try:
            main()
        except SystemExit as exited:
            status = exited.code
        printed = capsys.readouterr()
        return status, printed.out, printed.err

    return command


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_planted_images_are_dropped_and_the_rest_stays(run, training, tmp_path):
    folder, planted = training
    status, printed, _ = run(folder, tmp_path / "out")
    assert status == 0
    rows = lines(folder / "rows.jsonl")
    dropped = lines(tmp_path / "out" / "dropped.jsonl")
    uri_of = {f"{folder}/rows.jsonl:{n}": r["media"][0]["uri"] for n, r in enumerate(rows, 1)}
    assert {uri_of[line["where"]]: line["reason"] for line in dropped} == planted
    for line in dropped:
        row = rows[int(line["where"].rpartition(":")[2]) - 1]
        assert line["uid"] == Record.from_row(row, where="").uid
        match = line["matches"][0]
        assert (match["benchmark"], match["reason"]) == ("photos", line["reason"])
        held_out = SPLITS["test"][match["index"]]["media"][0]["uri"]
        assert match["uri"] == match["id"] == held_out
        assert f"photos, row {match['index'] + 1}" in line["detail"]
    kept = [row for row in rows if row["media"][0]["uri"] not in planted]
    written = pq.read_table(next((tmp_path / "out").glob("*.parquet"))).to_pylist()
    assert [row["origin"] for row in written] == [row["origin"] for row in kept]
    assert list(read_records(tmp_path / "out")) == [Record.from_row(r, where="") for r in kept]
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert (manifest["rows"], manifest["sources"]) == (48, {"photos": 40})
    assert manifest["dropped"] == [["photos", "exact_image", 2], ["photos", "near_image", 6]]
    assert manifest["inputs"][0]["path"] == str(folder / "rows.jsonl")
    assert "48 rows in, 40 out, 8 in dropped.jsonl" in printed
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        "manifest.json", "dropped.jsonl", "part-00000.parquet",
    }  # fmt: skip


def test_the_photos_for_training_are_not_those_of_the_benchmark(run, tmp_path):
    status, printed, _ = run(PHOTOS / "train.jsonl", tmp_path / "out")
    assert status == 0
    assert "1,048 rows in, 1,048 out, 0 in dropped.jsonl" in printed
    status, _, error = run(PHOTOS / "test.jsonl", tmp_path / "none")
    assert status == 2
    assert "none of 204 rows is left" in error


def test_the_set_is_the_same_for_any_number_of_workers(run, training, tmp_path):
    folder, _ = training
    rows = lines(folder / "rows.jsonl")
    many = [{**row, "origin": str(n)} for n, row in enumerate(rows * 50)]  # three units
    write_lines(folder / "rows.jsonl", many)
    assert run(folder, tmp_path / "one")[0] == 0
    command = ["-m", "r1reward.tools.decontaminate", f"input={folder}", f"out={tmp_path}/two"]
    subprocess.run(
        [sys.executable, *command, "benchmarks=[photos]", "workers=2"],
        cwd=REPO, check=True, capture_output=True,
    )  # fmt: skip
    names = [path.name for path in sorted((tmp_path / "one").iterdir())]
    assert names == ["dropped.jsonl", "manifest.json", *(f"part-0000{n}.parquet" for n in range(3))]
    for name in names:
        one, two = ((tmp_path / out / name).read_bytes() for out in ("one", "two"))
        assert one == two or name == "manifest.json"


def test_embedded_images_are_compared_and_kept(run, training, tmp_path):
    folder, planted = training
    rows = lines(folder / "rows.jsonl")
    for row in rows:
        [media] = row["media"]
        media["bytes"] = (folder / media["uri"]).read_bytes()
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "set.parquet")
    assert run(tmp_path / "set.parquet", tmp_path / "out")[0] == 0
    written = pq.read_table(tmp_path / "out" / "part-00000.parquet").to_pylist()
    kept = [row for row in rows if row["media"][0]["uri"] not in planted]
    assert [row["media"] for row in written] == [row["media"] for row in kept]


def test_what_cannot_be_compared_is_dropped_with_its_reason(run, training, tmp_path):
    folder, planted = training
    image = next(folder.glob("images/*.png"))
    good = {"question": "Q?", "responses": ["A.", "B."], "label": 1, "source": "more", "media": []}
    write_lines(
        folder / "z.jsonl",
        [
            good,
            {**good, "label": 3},
            {**good, "media": [{"kind": "image", "uri": "none.png"}]},
            {**good, "media": [{"kind": "image", "uri": "../out.png"}]},
            {**good, "media": [{"kind": "image", "uri": "half.png"}]},
        ],
    )
    with open(folder / "z.jsonl", "ab") as file:
        file.write(b'{"question": "\xff"}\n')
    (folder / "half.png").write_bytes(image.read_bytes()[:500])
    status, printed, _ = run(folder, tmp_path / "out")
    assert status == 0
    found = [line for line in lines(tmp_path / "out" / "dropped.jsonl") if not line["matches"]]
    assert [(line["where"], line["reason"], line["source"]) for line in found] == [
        (f"{folder}/z.jsonl:{number}", reason, source)
        for number, reason, source in (
            (2, "record", ""), (3, "media", "more"), (4, "media", "more"),
            (5, "media", "more"), (6, "record", ""),
        )
    ]  # fmt: skip
    words = ["label=3", "no such image", "outside the media folder", "damaged", "not a JSON object"]
    assert all(word in line["detail"] for word, line in zip(words, found, strict=True))
    assert f"54 rows in, 41 out, {len(planted) + 5} in dropped.jsonl" in printed


def test_half_a_parquet_file_does_not_stop_the_others(run, tmp_path):
    rows = [{**row, "media": []} for row in SPLITS["train"][:3]]
    (tmp_path / "set").mkdir()
    for name in ("a", "b"):
        pq.write_table(pa.Table.from_pylist(rows), tmp_path / "set" / f"{name}.parquet")
    whole = (tmp_path / "set" / "a.parquet").read_bytes()
    (tmp_path / "set" / "a.parquet").write_bytes(whole[: len(whole) // 2])
    status, printed, _ = run(tmp_path / "set", tmp_path / "out")
    assert status == 0
    [line] = lines(tmp_path / "out" / "dropped.jsonl")
    assert (line["where"], line["reason"]) == (f"{tmp_path}/set/a.parquet", "unreadable")
    assert "3 rows in, 3 out, 1 in dropped.jsonl" in printed


def test_the_wrong_media_root_is_noticed(run, training, tmp_path):
    folder, _ = training
    status, _, error = run(folder, tmp_path / "out", f"media_root={tmp_path}")
    assert status == 2
    assert "is media_root right?" in error
    assert run(folder, tmp_path / "out", f"media_root={folder}")[0] == 0


def test_the_measurement_runs(monkeypatch, tmp_path, capsys):
    small = ["photos=3", "drawings=2", "prompts=10", "images=2", f"out={tmp_path}"]
    monkeypatch.setattr(sys, "argv", ["bench_decontaminate", *small])
    measure()
    [path] = tmp_path.glob("*/bench.json")
    found = json.loads(path.read_text())["found"]
    copies, wrong = found["photos"]
    assert {row["what"] for row in copies} == set(CHANGES)
    assert all(row["n"] == 3 for row in copies)
    assert all(row["found"] == 0 for row in wrong)
    assert "copies of photos" in capsys.readouterr().out


# --- a folder again


def test_a_finished_set_is_left_alone_and_another_refused(run, training, tmp_path):
    folder, _ = training
    out = tmp_path / "out"
    assert run(folder, out)[0] == 0
    before = {path: path.stat().st_mtime_ns for path in out.iterdir()}
    status, printed, _ = run(folder, out)
    assert status == 0
    assert "48 from earlier runs" in printed
    assert {path: path.stat().st_mtime_ns for path in out.iterdir()} == before
    status, _, error = run(folder, out, "image_similarity=0.95")
    assert status == 2
    assert "settings.image_similarity is 0.95, there 0.9" in error
    write_lines(folder / "rows.jsonl", lines(folder / "rows.jsonl")[1:])
    status, _, error = run(folder, out)
    assert status == 2
    assert "inputs are not what they were" in error
    next(out.glob("*.parquet")).unlink()
    status, _, error = run(folder, tmp_path)
    assert status == 2
    assert "there are other files" in error


def test_a_run_that_was_stopped_goes_on(run, training, tmp_path, monkeypatch):
    folder, _ = training
    rows = lines(folder / "rows.jsonl")
    write_lines(folder / "rows.jsonl", [{**r, "origin": str(n)} for n, r in enumerate(rows * 50)])
    assert run(folder, tmp_path / "whole")[0] == 0

    from r1reward.data.decontaminate import run as module

    work = module.clean_unit

    def stop_at_the_second(job, unit, number):
        if number == 1:
            raise KeyboardInterrupt
        return work(job, unit, number)

    monkeypatch.setattr(module, "clean_unit", stop_at_the_second)
    assert run(folder, tmp_path / "out")[0] == 130
    first = tmp_path / "out" / "part-00000.parquet"
    written = first.stat().st_mtime_ns
    monkeypatch.setattr(module, "clean_unit", work)
    status, printed, _ = run(folder, tmp_path / "out")
    assert status == 0
    assert "1,024 from earlier runs" in printed
    assert first.stat().st_mtime_ns == written
    for path in (tmp_path / "whole").iterdir():
        assert (tmp_path / "out" / path.name).read_bytes() == path.read_bytes() or (
            path.name == "manifest.json"
        )


# --- benchmarks


def test_two_at_once_do_not_write_the_same_set(run, training, tmp_path):
    out = tmp_path / "out"
    with holding(out / ".decontaminate" / "lock", RuntimeError("nobody else is there")):
        status, _, error = run(training[0], out)
    assert status == 2
    assert "another decontamination is at work there" in error
    assert run(training[0], out)[0] == 0


def test_a_benchmark_that_is_not_there(run, training, tmp_path, monkeypatch):
    folder, _ = training
    monkeypatch.chdir(tmp_path)  # where no data/vlrewardbench is
    status, _, error = run(folder, tmp_path / "out", "benchmarks=[photos,vlrewardbench]")
    assert status == 2
    assert "vlrewardbench: no data in" in error
    assert "VL-RewardBench" in error
    assert error.count("\n") == 1
    status, _, error = run(folder, tmp_path / "out", "benchmarks=[photo]")
    assert status == 2
    assert "no photo; there are" in error
    status, printed, _ = run(folder, tmp_path / "out", "benchmarks=null")
    assert status == 0
    assert "not compared with mmrlhf_rewardbench" in printed


def test_a_benchmark_without_its_images(run, training, tmp_path):
    folder, _ = training
    root = tmp_path / "photos"
    root.mkdir()
    for name in ("test.jsonl", "manifest.jsonl"):
        shutil.copy(PHOTOS / name, root / name)
    roots = f"roots={{photos: {root}}}"
    status, _, error = run(folder, tmp_path / "out", roots)
    assert status == 2
    assert "images are missing" in error
    assert "images=false" in error
    status, printed, _ = run(folder, tmp_path / "out", roots, "images=false")
    assert status == 0
    assert "48 rows in, 48 out" in printed  # stock questions all


@pytest.mark.parametrize(
    "override",
    ["drop=neither", "image_similarity=0", "prompt_similarity=2", "specific_shingles=0",
     "common_images=0", "workers=0", "nonsense=1", "roots={nothing: x}"],
)  # fmt: skip
def test_a_setting_that_cannot_be_is_named(run, training, tmp_path, override):
    status, _, error = run(training[0], tmp_path / "out", override)
    assert status == 2
    assert override.partition("=")[0] in error or "nothing" in error
    assert not (tmp_path / "out").exists()


def test_input_that_is_not_there(run, tmp_path):
    assert run(tmp_path / "none.jsonl", tmp_path / "out")[0] == 2
