"""Multimodal RewardBench is collected from the data sets that it names."""

import io
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image
from rich.console import Console
from support import eval_oracles as oracles
from support.fetch import cells
from support.hub import git_sha1

from r1reward.eval.download.errors import FetchError
from r1reward.eval.download.hub import Hub
from r1reward.eval.download.mmrb import Collector
from r1reward.eval.download.mmrb_sources import SOURCES, Script, Source
from r1reward.eval.download.sync import STAGING

# In place of the official script, which is read and never run.
SCRIPT = """
raise SystemExit("it was run")
def setup_nocaps(data):
    data["Text"] = "A caption, please."
def setup_mmmu_pro(data):
    first = "To the preceding multiple choice question: answer."
    second = "The question in the image: answer."
def setup_mathvista(data):
    a = "Give the correct option letter."
    b = "Give a single integer."
    c = "Give one decimal place."
    d = "Give two decimal places."
def setup_image2struct(data):
    data["Text"] = "Its LaTeX code."
def setup_mmbench(data):
    prompt = f"\\n\\nAnswer with the option's letter."
def setup_seed_bench(data):
    prompt = f"\\n\\nThe option's letter alone."
def setup_emma_coding(data):
    skip, old, new = "<image_1>\\n\\n", "Which code below", "What code"
"""
MATH = {"question": "How\r much?", "unit": None, "question_type": "free_form"}
MATH |= {"choices": None, "precision": None}


@pytest.mark.parametrize(
    ("folder", "rows", "texts"),
    [  # written down from the official script, by hand
        ("nocaps", [{}], ["A caption, please."]),
        ("visitbench", [{"instruction": "Do this."}], ["Do this."]),
        (
            "mmmu-s",
            [{"question": "Which\r one?", "options": "['x', 'y\\'s']"}],
            ["To the preceding multiple choice question: answer.\nWhich one? (A) x (B) y's"],
        ),
        ("mmmu-v", [{}], ["The question in the image: answer."]),
        (
            "mathvista",
            [
                MATH | {"question_type": "multi_choice", "answer_type": "text", "choices": [1, 2]},
                MATH | {"answer_type": "list"},
                MATH | {"answer_type": "integer", "unit": "cm"},
                MATH | {"answer_type": "float", "precision": 2.0},
                MATH | {"answer_type": "float", "precision": 1.0},
            ],
            [
                "Give the correct option letter.\nQuestion:How much? (A) 1 (B) 2",
                "Give the correct option letter.\nQuestion:How much?",  # that of the row before
                "Give a single integer.\nQuestion:How much? (Unit: cm)",
                "Give two decimal places.\nQuestion:How much?",
                "Give one decimal place.\nQuestion:How much?",
            ],
        ),
        ("image2struct", [{}], ["Its LaTeX code."]),
        ("RealworldQA", [{"question": "Left or right?"}], ["Left or right?"]),
        (
            "MMBench",
            [{"question": "Why?", "A": "one", "B": "two", "C": "nan", "D": "nan"}],
            ["Why?\n(A) one\n(B) two\n\nAnswer with the option's letter."],
        ),
        (
            "SEED-Bench",
            [{"question": "Who?"} | {f"choice_{c}": c * 2 for c in "abcd"}],
            ["Who?\n(A) aa\n(B) bb\n(C) cc\n(D) dd\n\nThe option's letter alone."],
        ),
        (
            "EMMA-Coding",
            [{"question": "<image_1>\n\nWhich code below draws it?"}],
            ["What code draws it?"],
        ),
    ],
)
def test_questions_are_made_as_the_official_script_makes_them(folder, rows, texts) -> None:
    source = SOURCES[folder]
    text = source.text(Script(SCRIPT))
    assert [text({column: row[column] for column in source.columns}) for row in rows] == texts


def test_an_instruction_must_be_there_once() -> None:
    script = Script("def f():\n    a, b = 'one text', 'another text'\n")
    assert script.say("f", "one") == "one text"
    for words in ("text", "third"):
        with pytest.raises(FetchError, match=words):
            script.say("f", words)


def picture(number):
    """A square that tells numbers up to 12 apart, also after JPEG."""
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8), (20 * number, 0, 0)).save(buffer, "PNG")
    return {"bytes": buffer.getvalue(), "path": None}


def shard(rows):
    buffer = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows), buffer)
    return buffer.getvalue()


ROWS = [  # folder, file name, whether the annotations have its question
    ("nocaps", "7.jpg", False),
    ("mmmu-v", "3.jpg", False),
    ("RealworldQA", "1.jpg", False),
    ("image2struct", "uu-1.png", False),
    ("EMMA-Coding", "2_0.png", False),
    ("SEED-Bench", "1.jpeg", False),
    ("pairs", "jobs/a b.png", True),
]


@pytest.fixture
def sources(hub):
    """The data sets behind ``ROWS``: colours tell rows apart."""

    def rows(count, **columns):
        return [
            {"image": picture(n), **{key: make(n) for key, make in columns.items()}}
            for n in range(count)
        ]

    nocaps = [{"image": picture(i), "image_id": i} for i in (5, 6, 7)]
    hub.put("HuggingFaceM4/NoCaps", {"NoCaps.py": b"raise SystemExit"})
    converted = {"default/test/0000.parquet": shard(nocaps)}
    hub.put("HuggingFaceM4/NoCaps", converted, "refs/convert/parquet")
    vision = rows(5)
    halves = {
        "vision/test-00000-of-00002.parquet": shard(vision[:2]),
        "vision/test-00001-of-00002.parquet": shard(vision[2:]),
    }
    hub.put("MMMU/MMMU_Pro", halves)
    hub.put(
        "xai-org/RealworldQA",
        {"data/test-00000-of-00001.parquet": shard(rows(3, question=lambda n: f"question {n}"))},
    )
    files = {  # the hub puts some ids in quotation marks
        f"{config}/validation-00000-of-00001.parquet": shard(rows(2, uuid=name.format))
        for config, name in [("algorithm", "a{}"), ("equation", '"e{}"'), ("table", '"uu-{}"')]
    }
    hub.put("stanford-crfm/image2struct-latex-v1", files)
    emma = [
        {"image_1": picture(n), "question": f"<image_1>\n\nWhich code below is {n}?"}
        for n in range(3)
    ]
    hub.put("luckychao/EMMA", {"Coding/test-00000-of-00001.parquet": shard(emma)})
    seed = [
        {"image": [picture(n)], "question": f"seed {n}?", "data_type": "image"}
        | {f"choice_{letter}": letter for letter in "abcd"}
        for n in range(3)
    ]
    hub.put("lmms-lab/SEED-Bench", {"data/test-00000-of-00001.parquet": shard(seed)})
    pairs = SOURCES["pairs"]
    hub.raw[f"{pairs.repo}/{pairs.commit}/data/jobs/a b.png"] = oracles.png(9)
    return hub


def collector(hub, rows=ROWS):
    """A collector, and the official repository with these rows."""
    annotations = [
        {"ID": f"{folder}_{n}", "Image": f"images/{folder}/{name}", "Category": "vqa"}
        | ({"Text": "Given."} if given else {})
        for n, (folder, name, given) in enumerate(rows)
    ]
    files = {
        "data/all_data_release.json": json.dumps(annotations).encode(),
        "scripts/0_download_data.py": SCRIPT.encode(),
    }
    for path, content in files.items():
        hub.raw[f"facebookresearch/multimodal_rewardbench/c0/{path}"] = content
    return Collector(hub.url, "c0", *map(git_sha1, files.values()))


def quiet():
    return Console(file=io.StringIO(), width=500)


def test_questions_and_images_come_from_their_sources(sources, tmp_path) -> None:
    root = tmp_path / "data"
    collector(sources).annotate(root, Hub(sources.url), quiet())
    found = {row["Image"]: row["Text"] for row in json.loads((root / "all_data.json").read_text())}
    assert found == {
        "images/nocaps/7.jpg": "A caption, please.",
        "images/mmmu-v/3.jpg": "The question in the image: answer.",
        "images/RealworldQA/1.jpg": "question 1",
        "images/image2struct/uu-1.png": "Its LaTeX code.",
        "images/EMMA-Coding/2_0.png": "What code is 2?",
        "images/SEED-Bench/1.jpeg": "seed 1?\n(A) a\n(B) b\n(C) c\n(D) d\n\n"
        "The option's letter alone.",
        "images/pairs/jobs/a b.png": "Given.",
    }
    numbers = {"nocaps/7.jpg": 7, "mmmu-v/3.jpg": 3, "RealworldQA/1.jpg": 1}
    numbers |= {"image2struct/uu-1.png": 1, "EMMA-Coding/2_0.png": 2, "SEED-Bench/1.jpeg": 1}
    for name, number in numbers.items():
        with Image.open(root / "images" / name) as image:
            kind = "PNG" if name.endswith("png") else "JPEG"
            assert (image.format, image.mode) == (kind, "RGB")
            assert round(image.getpixel((0, 0))[0] / 20) == number
    assert not (root / STAGING).exists()
    record = json.loads((root / "download.json").read_text())
    assert record["commit"] == "c0"
    assert len(record["files"]) == 2
    # the image whose question is in the release is asked for when it turns out to be missing
    assert not (root / "images/pairs").exists()
    one = collector(sources)
    one.collect(root, ["images/pairs/jobs/a b.png"], Hub(sources.url), quiet())
    assert (root / "images/pairs/jobs/a b.png").read_bytes() == oracles.png(9)


def test_a_source_is_asked_for_nothing_twice(sources, tmp_path) -> None:
    root, gone = tmp_path / "data", "xai-org/RealworldQA"
    sources.gone.add(gone)
    with pytest.raises(FetchError, match=rf"RealworldQA 1 \(.*{gone}"):
        collector(sources).annotate(root, Hub(sources.url), quiet())
    assert not (root / "all_data.json").exists()
    sources.gone.clear()
    sources.gets.clear()
    collector(sources).annotate(root, Hub(sources.url), quiet())
    assert sources.gets == ["data/test-00000-of-00001.parquet"]
    assert (root / "all_data.json").exists()
    sources.gets.clear()
    collector(sources).annotate(root, Hub(sources.url), quiet())
    assert sources.gets == []


def test_rows_that_moved_are_not_guessed(sources, tmp_path) -> None:
    rows = [
        {"image": [picture(n)], "question": "?", "data_type": kind}
        | {f"choice_{letter}": letter for letter in "abcd"}
        for n, kind in enumerate(["video", "image"])
    ]
    sources.put("lmms-lab/SEED-Bench", {"data/test-00000-of-00001.parquet": shard(rows)})
    with pytest.raises(FetchError, match="no longer mean"):
        collector(sources, [("SEED-Bench", "1.jpeg", False)]).annotate(
            tmp_path / "data", Hub(sources.url), quiet()
        )
    assert not (tmp_path / "data" / "images").exists()


def test_the_official_files_are_the_pinned_ones(sources, tmp_path) -> None:
    one = collector(sources)
    path = "facebookresearch/multimodal_rewardbench/c0/scripts/0_download_data.py"
    sources.raw[path] += b"# later"
    with pytest.raises(FetchError, match="not the one expected"):
        one.annotate(tmp_path / "data", Hub(sources.url), quiet())


def test_images_that_a_benchmark_lacks_are_collected_and_others_get_an_address(
    sources, run, tmp_path
) -> None:
    root = tmp_path / "data"
    root.mkdir()
    rows = oracles.mmrb_rows()
    names = {row["Image"] for row in rows}
    for name in names - {"images/nocaps/7.jpg", "images/visitbench/7.jpg"}:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"there")
    oracles.mmrb_json(root)
    sources.gone.add("mlfoundations/VisIT-Bench")
    asked = ["hub.repo=null", f"collect.github={sources.url}"]
    status, out, err = run(sources, root, "multimodal_rewardbench", *asked)
    assert (status, err) == (1, "")
    with Image.open(root / "images/nocaps/7.jpg") as image:
        assert round(image.getpixel((0, 0))[0] / 20) == 7
    lines = (root / "missing_images.txt").read_text().splitlines()
    assert len(lines) == 2, "two rows have this image"
    assert all("images/visitbench/7.jpg (row " in line for line in lines)
    assert all("huggingface.co/datasets/mlfoundations/VisIT-Bench" in line for line in lines)
    assert all("split test, row 7 (from 0)" in line for line in lines)
    assert cells(out, "missing") == [2]


def test_every_folder_of_images_has_an_address() -> None:
    one = Collector("https://x", "c", "a", "s")
    for folder, source in SOURCES.items():
        name = f"images/{folder}/12_0.png" if folder == "EMMA-Coding" else f"images/{folder}/12.jpg"
        assert source.repo in one.address(name)
        assert ("12" in one.address(name)) == isinstance(source, Source) or folder == "pairs"
    assert "names no source" in one.address("images/hateful/1.jpg")
