"""The page of a data set, as its reader's browser shows it, over records known beforehand."""

import io
import json
import random
import subprocess
import sys

import pytest
from PIL import Image

from r1reward.config.compose import REPO
from r1reward.core.rows import RowError
from r1reward.data.page.page import page
from r1reward.data.page.survey import Sampling, estimate_rows, survey
from r1reward.store.shards import write_manifest, write_shard

HOSTILE = (
    "</script><script>document.title = 'owned'</script>"
    "<img src='http://127.0.0.1:9/pixel' onerror=\"document.title = 'owned'\">"
)
FRENCH = "Combien de personnes sont assises à la table sur cette photographie ?"
ENGLISH = "How many people are sitting at the table in this photograph?"


def picture(width, height):
    buffer = io.BytesIO()
    Image.new("RGB", (width, height), (200, 30, 30)).save(buffer, "PNG")
    return {"kind": "image", "uri": "photo.png", "bytes": buffer.getvalue()}


def row(number, label=1, better=20, worse=10, source="a", media=(), **fields):
    """Return a record whose answers have so many characters."""
    texts = ["b" * better, "w" * worse]
    record = {"question": f"{ENGLISH} {number}", "label": label, "source": source}
    record |= {"responses": texts if label == 1 else texts[::-1], "media": list(media)}
    return record | {"origin": f"id-{number}"} | fields


# Source a: 30 records, of which 20 have label 1; the longer answer is better in 24 of 27 that
# differ. Source b: 10 records, all of label 2, 5 of them with the longer one better.
KINDS = [(20, 10)] * 24 + [(10, 20)] * 3 + [(15, 15)] * 3
ROWS = [
    row(n, label=1 if n < 20 else 2, better=better, worse=worse)
    for n, (better, worse) in enumerate(KINDS)
] + [
    row(n, label=2, better=(40, 10)[n % 2], worse=20, source="b", question=FRENCH + " " * n)
    for n in range(30, 40)
]  # fmt: skip
ROWS[0] |= {"media": [picture(640, 480), picture(64, 32)]}
ROWS[1] |= {"media": [picture(640, 480)], "question": f"Odd {HOSTILE}"}
ROWS[2] |= {"media": [{"kind": "image", "uri": "gone.png"}]}
ROWS[3] |= {"attempts": 1, "solved": True, "reasoning": f"Since {HOSTILE}"}
ROWS[4] |= {"attempts": 2, "solved": True, "reasoning": "On second thought."}
ROWS[5] |= {"attempts": 3, "solved": False}


def drawn(path, root=None, workers=1, records=200, rows=None):
    sampling = Sampling(0, records, 2000, 160, rows or estimate_rows(path))
    return survey(path, root or path, sampling, workers, lambda _: None)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("set") / "known-set"
    shards = [write_shard(folder / f"part-{n}.parquet", ROWS[n::2]) for n in (0, 1)]
    write_manifest(folder, shards, command=f"made by {HOSTILE}")
    return folder


@pytest.fixture(scope="module")
def file(folder):
    path = folder.parent / "page.html"
    path.write_text(page(drawn(folder), folder, {"records": 200}, "the command"))
    return path


@pytest.fixture
def opened(browser, file):
    return browser.open(file)


def texts(page, selector):
    script = f"[...document.querySelectorAll({json.dumps(selector)})].map((e) => e.innerText)"
    return page.evaluate(script)


def table_after(page, heading):
    """Return the lines of the first table after the heading with this text, cell by cell."""
    return page.evaluate(
        "(() => { const found = [...document.querySelectorAll('h2, h3, table')];"
        f"const at = found.findIndex((e) => e.innerText === {json.dumps(heading)});"
        "const table = found.slice(at).find((e) => e.tagName === 'TABLE');"
        "return [...table.rows].map((r) => [...r.cells].map((c) => c.innerText.trim())); })()"
    )


def test_counts_and_intervals(opened):
    assert opened.evaluate("document.title") == "known-set"
    shown = dict(
        zip(texts(opened, ".card span:first-child"), texts(opened, ".card b"), strict=True)
    )
    assert shown == {
        "records": "40",
        "answer 1 is the better one": "50.0%",
        "the longer answer is the better one": "78.4%",  # 29 of 37
        "images and videos": "4",
        "median answer": "20",
        "solved at the first attempt": "33.3%",
    }
    [_, *sources] = table_after(opened, "Sources")
    assert [line[:3] for line in sources] == [
        ["all", "40", "100.0%"], ["a", "30", "75.0%"], ["b", "10", "25.0%"],
    ]  # fmt: skip
    # Wilson's intervals of 20/40, 20/30 and 0/10; of 29/37, 24/27 and 5/10.
    assert table_after(opened, "Answer 1 is the better one") == [
        ["all", "", "50.0%\n35.2 to 64.8"],
        ["a", "", "66.7%\n48.8 to 80.8"],
        ["b", "", "0.0%\n0.0 to 27.8"],
    ]
    assert table_after(opened, "The longer answer is the better one") == [
        ["all", "", "78.4%\n62.8 to 88.6"],
        ["a", "", "88.9%\n71.9 to 96.1"],
        ["b", "", "50.0%\n23.7 to 76.3"],
    ]


def test_lengths_images_languages_and_difficulty(opened):
    # Twice as long in 24 of 30; twice or half as long, five times each.
    ratios = {line[0]: line[2].split("\n")[0] for line in table_after(
        opened, "The better answer, in lengths of the worse one")}  # fmt: skip
    assert ratios == {"all": "2.00×", "a": "2.00×", "b": "1.00×"}
    assert [line[0::2] for line in table_after(opened, "Images and videos of a record")] == [
        ["none", "37"], ["1", "2"], ["2", "1"],
    ]  # fmt: skip
    languages = [line[0::2] for line in table_after(opened, "Languages")]
    assert languages == [["en", "29"], ["fr", "10"], ["not clear", "1"]]  # the hostile one
    assert [line[2:] for line in table_after(opened, "Difficulty")] == [
        ["1", "2", "unsolved", "none"], ["1", "1", "1", "37"], ["1", "1", "1", "27"],
        ["0", "0", "0", "10"],
    ]  # fmt: skip
    plots = opened.evaluate(
        "[...document.querySelectorAll('svg')].map((e) => e.getAttribute('aria-label'))"
    )
    assert plots == [
        "lengths in characters; medians: question 63, better answer 20, worse answer 10",
        "sizes of 3 images; median 640 by 480 pixels",
    ]


def test_what_is_wrong_is_said(opened):
    [images] = texts(opened, ".warning")
    assert images.startswith("1 images that cannot be opened")
    assert "gone.png" in opened.evaluate("document.querySelector('details pre').textContent")


def test_a_source_whose_labels_no_coin_gives_is_named(browser, tmp_path):
    rows = [row(n, label=2, source="b") for n in range(30)]
    rows += [row(n, label=1 + (n < 10), source="a") for n in range(30)]  # 20 of 30: no surprise
    write_shard(tmp_path / "x.parquet", rows)
    (tmp_path / "page.html").write_text(page(drawn(tmp_path), tmp_path, {}, ""))
    [labels] = texts(browser.open(tmp_path / "page.html"), ".warning")
    assert "half of the records: b (0.0%)." in labels


def test_filters_search_and_pages(opened):
    def count():
        return texts(opened, ".count")[0]

    def choose(facet, value):
        opened.evaluate(
            f"(() => {{ const m = document.querySelector('[data-facet={facet}]');"
            f"const o = [...m.options].find((o) => o.text === {json.dumps(value)});"
            "m.selectedIndex = o.index; m.dispatchEvent(new Event('change')); })()"
        )

    def write(text):
        opened.evaluate(
            f"(() => {{ const i = document.querySelector('input'); i.value = {json.dumps(text)};"
            "i.dispatchEvent(new Event('input')); })()"
        )

    def press(name):
        opened.evaluate(
            "[...document.querySelectorAll('button')]"
            f".find((button) => button.innerText === '{name}').click()"
        )

    assert (count(), len(texts(opened, "article"))) == ("40 of 40", 10)
    press("longer is better")
    assert count() == "29 of 40"
    choose("source", "b")
    assert count() == "5 of 40"
    choose("label", "answer 1")
    assert (count(), texts(opened, ".list")) == ("0 of 40", ["None."])
    press("all")
    choose("label", "either answer is better")
    choose("source", "all sources")
    choose("difficulty", "unsolved")
    assert "id-5 ·" in texts(opened, "article header")[0]
    choose("difficulty", "every difficulty")
    write("ON SECOND thought")
    assert count() == "1 of 40"
    write("")
    seen = set()
    for number in range(4):
        assert texts(opened, ".pages span") == [f"page {number + 1} of 4"]
        seen |= set(texts(opened, "article header"))
        press("Next")
    assert len(seen) == 40
    assert opened.evaluate("document.querySelector('[data-step=\"1\"]').disabled")


def test_a_card(opened):
    opened.evaluate(
        "(() => { const i = document.querySelector('input'); i.value = 'id-0';"
        "i.dispatchEvent(new Event('input')); })()"
    )
    assert texts(opened, ".answer h4") == [
        "Answer 1, the better one · 20 characters", "Answer 2 · 10 characters",
    ]  # fmt: skip
    assert texts(opened, ".answer.better .text") == ["b" * 20]
    sizes = opened.evaluate(
        "Promise.all([...document.querySelectorAll('.media img')].map(async (i) => "
        "{ await i.decode(); return [i.naturalWidth, i.naturalHeight]; }))"
    )
    assert sizes == [[160, 120], [64, 32]]


def test_nothing_of_the_data_runs_and_nothing_is_fetched(opened):
    opened.evaluate("document.querySelectorAll('details').forEach((e) => { e.open = true; })")
    for text in ("Odd </script>", "Since </script>"):
        opened.evaluate(
            f"(() => {{ const i = document.querySelector('input'); i.value = '{text}';"
            "i.dispatchEvent(new Event('input')); })()".replace("</script>", "<\\/script>")
        )
        assert texts(opened, ".count") == ["1 of 40"]
        assert HOSTILE in opened.evaluate("document.querySelector('article').textContent")
    assert HOSTILE in opened.evaluate(
        "JSON.parse(document.querySelector('#how ~ details pre').textContent).command"
    )
    assert opened.evaluate("document.title") == "known-set"
    assert (opened.requests, opened.errors) == ([], [])


@pytest.mark.parametrize("width", [390, 1280])
def test_it_fits_a_telephone_and_follows_the_colour_scheme(opened, tmp_path, width):
    grounds = []
    for scheme in ("light", "dark"):
        opened.screenshot(tmp_path / "page.png", width, 800, scheme)
        assert opened.evaluate("document.documentElement.scrollWidth") == width
        with Image.open(tmp_path / "page.png") as image:
            grounds.append(sum(image.convert("RGB").getpixel((2, 2))))
    assert grounds[0] == 3 * 255 > 3 * 60 > grounds[1]


def test_the_sample_depends_on_the_records_alone(tmp_path):
    rows = [row(n, better=10 + n % 7) for n in range(5000)]
    random.Random(1).shuffle(rows)
    write_shard(tmp_path / "one" / "a.parquet", rows)
    for number, start in enumerate(range(0, 5000, 1000)):
        shard = tmp_path / "two" / f"{9 - number}.parquet"
        write_shard(shard, rows[start : start + 1000])

    def ids(found):
        return [card["origin"] for _, card in found.cards]

    first = drawn(tmp_path / "one", records=50)
    second = drawn(tmp_path / "two", records=50, workers=2)
    assert len(ids(first)) == len(set(ids(first))) == 50
    assert ids(first) == ids(second)
    assert ids(drawn(tmp_path / "one", records=20)) == ids(first)[:20]
    assert (len(first.rows), len(second.rows)) == (5000, 5000)
    assert 1700 < first.languages.total() < 2500  # asked for 2000, and some to be sure


def test_bad_rows_are_counted_and_the_rest_is_shown(browser, tmp_path):
    (tmp_path / "torn.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    lines = [json.dumps(row(n)) for n in range(3)]
    media = [{"kind": "image", "uri": uri} for uri in ("torn.png", "../up.png", "http://a/b.png")]
    lines += [json.dumps(row(4, media=media)), "{", json.dumps(row(5, label=3))]
    path = tmp_path / "rows.jsonl"
    path.write_text("\n".join(lines))
    found = drawn(path, tmp_path)
    assert {kind: number for kind, (number, _) in found.faults.items()} == {"image": 3, "record": 2}
    out = tmp_path / "page.html"
    out.write_text(page(found, path, {}, ""))
    shown = browser.open(out)
    assert texts(shown, ".count") == ["4 of 4"]
    assert len(texts(shown, ".fault")) == 3
    assert shown.errors == []


@pytest.mark.parametrize("content", ["", "{}\n", json.dumps(row(1)) + "\n"])
def test_a_set_of_next_to_nothing(browser, tmp_path, content):
    path = tmp_path / "rows.jsonl"
    path.write_text(content)
    (tmp_path / "page.html").write_text(page(drawn(path, tmp_path), path, {}, ""))
    shown = browser.open(tmp_path / "page.html")
    number = content.count("question")
    assert texts(shown, ".count") == [f"{number} of {number}"]
    assert shown.errors == []


def test_a_torn_file_is_named(folder, tmp_path):
    whole = (folder / "part-0.parquet").read_bytes()
    (tmp_path / "torn.parquet").write_bytes(whole[:-50])
    with pytest.raises(RowError, match=r"torn\.parquet"):
        drawn(tmp_path)


def test_the_command(tmp_path):
    photos = REPO / "recipes" / "photos" / "validation.jsonl"
    run = [sys.executable, "-m", "r1reward.tools.data_page", f"input={photos}", "records=5"]
    done = subprocess.run([*run, f"out={tmp_path}/x.txt"], capture_output=True, text=True, cwd=REPO)
    assert (done.returncode, "name the page" in done.stderr) == (2, True)
    run += [f"out={tmp_path}/x.html", "workers=1"]
    done = subprocess.run(run, capture_output=True, text=True, cwd=REPO)
    assert done.returncode == 0, done.stderr
    assert f"{tmp_path}/x.html: 184 records" in done.stdout
    assert "r1reward data-page" in (tmp_path / "x.html").read_text()
