"""Downloads of benchmarks: a small hub on loopback, real downloads of benchmarks in miniature."""

import hashlib
import io
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from PIL import Image
from rich.console import Console
from support import eval_oracles as oracles

from r1reward.config.compose import REPO
from r1reward.eval import fetch
from r1reward.eval.download.errors import FetchError
from r1reward.eval.download.files import alone, inside
from r1reward.eval.download.hub import Hub
from r1reward.eval.download.mmrb import Collector
from r1reward.eval.download.mmrb_sources import SOURCES, Script, Source
from r1reward.eval.download.sync import STAGING, sync

CONF = REPO / "conf" / "benchmark"
VLRB, MMRLHF = "MMInstruction/VL-RewardBench", "yifanzhang114/MM-RLHF-RewardBench"
SHARD = "data/test-00000-of-00001.parquet"

# --- a Hugging Face hub, and GitHub's raw files: as much as huggingface_hub asks for

PAGE = 20  # entries of a tree in one answer
LARGE = 1000  # bytes from which a file is kept apart (LFS), with a SHA-256


def git_sha1(content):
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


class Server(ThreadingHTTPServer):
    """Serves ``data_sets``: repo -> revision -> {path: content}, and ``raw``: path -> content."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.data_sets, self.raw = {}, {}
        self.damaged = {}  # path -> what arrives in its place
        self.cut = {}  # path -> after how many bytes the connection breaks, once
        self.pause = 0.0  # seconds between blocks
        self.gone = set()  # repos that may not be read
        self.gets, self.headers = [], []
        self.url = f"http://127.0.0.1:{self.server_port}"

    def handle_error(self, *_):
        """A client that was killed is no news."""

    def put(self, repo, files, revision="main"):
        """Commit ``files`` to a branch; return the commit."""
        tree = sorted((path, git_sha1(content)) for path, content in files.items())
        commit = hashlib.sha1(json.dumps(tree).encode()).hexdigest()
        revisions = self.data_sets.setdefault(repo, {})
        revisions |= {revision: commit, commit: files}
        return commit

    def files(self, repo, revision):
        found = self.data_sets.get(repo, {}).get(revision)
        return self.files(repo, found) if isinstance(found, str) else found


class Handler(BaseHTTPRequestHandler):
    """One request."""

    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def do_HEAD(self):
        self.answer(body=False)

    def do_GET(self):
        self.answer(body=True)

    def answer(self, body):
        url = urlsplit(self.path)
        path = unquote(url.path)
        self.server.headers.append({key.lower(): value for key, value in self.headers.items()})
        if match := re.fullmatch(r"/api/datasets/([^/]+/[^/]+)/revision/(.+)", path):
            self.about(*match.groups())
        elif match := re.fullmatch(r"/api/datasets/([^/]+/[^/]+)/tree/([0-9a-f]{40})", path):
            self.tree(*match.groups(), int(parse_qs(url.query).get("cursor", ["0"])[0]))
        elif match := re.fullmatch(r"/datasets/([^/]+/[^/]+)/resolve/([0-9a-f]{40})/(.+)", path):
            self.file(*match.groups(), body)
        elif path.lstrip("/") in self.server.raw:
            self.server.gets.append(path)
            self.send(200, self.server.raw[path.lstrip("/")], {})
        else:
            self.refuse(404, "EntryNotFound")

    def about(self, repo, revision):
        if repo in self.server.gone:
            self.refuse(401, "GatedRepo")
        elif repo not in self.server.data_sets:
            self.refuse(404, "RepoNotFound")
        elif self.server.files(repo, revision) is None:
            self.refuse(404, "RevisionNotFound")
        else:
            commit = self.server.data_sets[repo][revision]
            commit = commit if isinstance(commit, str) else revision
            self.send(200, json.dumps({"id": repo, "sha": commit}).encode(), {})

    def tree(self, repo, commit, start):
        entries = []
        for path, content in self.server.files(repo, commit).items():
            entry = {"type": "file", "path": path, "size": len(content), "oid": git_sha1(content)}
            if len(content) >= LARGE:
                oid = hashlib.sha256(content).hexdigest()
                entry["lfs"] = {"oid": oid, "size": len(content), "pointerSize": 134}
            entries.append(entry)
        more = {}
        if start + PAGE < len(entries):
            where = f"{self.server.url}/api/datasets/{repo}/tree/{commit}?cursor={start + PAGE}"
            more = {"Link": f'<{where}&recursive=True>; rel="next"'}
        self.send(200, json.dumps(entries[start : start + PAGE]).encode(), more)

    def file(self, repo, commit, path, body):
        content = self.server.files(repo, commit)[path]
        etag = hashlib.sha256(content) if len(content) >= LARGE else None
        etag = etag.hexdigest() if etag else git_sha1(content)
        content = self.server.damaged.get(path, content)
        headers = {"X-Repo-Commit": commit, "ETag": f'"{etag}"'}
        if body:
            self.server.gets.append(path)
        self.send(200, content, headers, self.server.cut.pop(path, None) if body else None)

    def refuse(self, status, code):
        self.send(status, b"", {"X-Error-Code": code, "X-Error-Message": "no"})

    def send(self, status, content, headers, cut=None):
        self.send_response(status)
        for key, value in {**headers, "Content-Length": str(len(content))}.items():
            self.send_header(key, value)
        self.end_headers()
        if self.command == "HEAD":
            return
        if cut is not None:
            self.wfile.write(content[:cut])
            self.wfile.flush()
            self.close_connection = True
            self.connection.shutdown(2)
            return
        for start in range(0, len(content), 65536):
            self.wfile.write(content[start : start + 65536])
            time.sleep(self.server.pause)


@pytest.fixture
def hub(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    server = Server()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def contents(write, folder):
    """The files that ``write`` makes, by path."""
    folder.mkdir(parents=True)
    write(folder)
    found = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in found}


@pytest.fixture
def vlrb(hub, tmp_path):
    """VL-RewardBench on the hub, at the commit that the configuration pins."""
    files = contents(oracles.vlrb_hub, tmp_path / "made")
    pinned = configuration("vlrewardbench")["hub"]["revision"]
    hub.data_sets[VLRB] = {pinned: {**files, "README.md": b"a card"}}
    return files[SHARD]


@pytest.fixture
def mmrlhf(hub, tmp_path):
    """MM-RLHF-RewardBench: a file of pairs, 36 images, and two frames of 10 videos."""
    files = contents(oracles.mmrlhf_jsonl, tmp_path / "made")
    paths = {row.get("image") or row["video"] for row in oracles.mmrlhf_rows()}
    for number, path in enumerate(sorted(paths)):
        # as on the hub: the frames of video/x are in images/x
        names = [path] if path.endswith(".png") else [f"{path[6:]}/{n}.png" for n in (1, 2)]
        files |= {f"images/{name}": oracles.png(number) for name in names}
    pinned = configuration("mmrlhf_rewardbench")["hub"]["revision"]
    hub.data_sets[MMRLHF] = {pinned: files}
    return files


def configuration(name):
    return yaml.safe_load((CONF / f"{name}.yaml").read_text())


def command(hub, root, name, *overrides):
    where = [f"hub.endpoint={hub if isinstance(hub, str) else hub.url}", f"benchmark.root={root}"]
    return [f"benchmark={name}", *where, *overrides]


@pytest.fixture
def run(monkeypatch, capsys):
    """Run the command in this process; return its exit status and what it said."""

    def go(hub, root, name, *overrides):
        monkeypatch.setattr(sys, "argv", ["fetch", *command(hub, root, name, *overrides)])
        capsys.readouterr()
        try:
            fetch.main()
            status = 0
        except SystemExit as end:
            status = end.code
        said = capsys.readouterr()
        return status, said.out, said.err

    return go


def below(root):
    """Every file below a folder, with its content."""
    found = (path for path in root.rglob("*") if path.is_file())
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in found}


def cells(out, label):
    """The numbers in the rows of the table that begin with ``label``."""
    return [int(n) for n in re.findall(rf"^│ *{re.escape(label)}[^│]*│ *(\d+) *│", out, re.M)]


# --- from the hub


def test_a_benchmark_is_downloaded_verified_and_recorded(hub, vlrb, run, tmp_path) -> None:
    root = tmp_path / "data"
    status, out, err = run(hub, root, "vlrewardbench")
    assert (status, err) == (0, "")
    assert set(below(root)) == {SHARD, "download.json"}, "no card, and nothing on its way"
    assert (root / SHARD).read_bytes() == vlrb
    record = json.loads((root / "download.json").read_text())
    pinned = "49b8e26430f73b021bd0655fcd27ebf0f384fede"
    assert (record["repo"], record["revision"], record["commit"]) == (VLRB, pinned, pinned)
    sha256 = hashlib.sha256(vlrb).hexdigest()
    assert record["files"] == [{"path": SHARD, "size": len(vlrb), "sha256": sha256}]
    assert cells(out, "rows") == cells(out, "images and videos") == [1250]
    assert cells(out, "official/hallucination") == [749]
    assert cells(out, "r1_reward_compat/general") == [484]
    assert cells(out, "files") == cells(out, "downloaded now") == [1]
    assert cells(out, "missing") == [0]
    assert "1/1 files" in out, "progress as plain lines"


def test_a_rerun_downloads_only_what_is_missing_or_differs(hub, mmrlhf, run, tmp_path) -> None:
    root = tmp_path / "data"
    assert run(hub, root, "mmrlhf_rewardbench")[0] == 0
    assert {name: file for name, file in below(root).items() if name != "download.json"} == mmrlhf
    assert len(hub.gets) == len(mmrlhf) == 1 + 36 + 20
    hub.gets.clear()
    status, out, _ = run(hub, root, "mmrlhf_rewardbench")
    assert (status, hub.gets) == (0, [])
    assert (cells(out, "files"), cells(out, "downloaded now")) == ([57], [0])
    lost, changed = "images/mcq/mcq-3.png", "images/video-2/1.png"
    (root / lost).unlink()
    (root / changed).write_bytes(bytes(len(mmrlhf[changed])))
    assert run(hub, root, "mmrlhf_rewardbench")[0] == 0
    assert sorted(hub.gets) == [lost, changed]
    assert (root / changed).read_bytes() == mmrlhf[changed]


def test_a_wrong_count_fails_and_is_named(hub, vlrb, run, tmp_path) -> None:
    rows = pq.read_table(io.BytesIO(vlrb)).slice(1)
    pq.write_table(rows, tmp_path / "short.parquet")
    commit = hub.put(VLRB, {SHARD: (tmp_path / "short.parquet").read_bytes()})
    status, out, err = run(hub, tmp_path / "data", "vlrewardbench", "hub.revision=main")
    assert status == 2
    assert "rows 1249 (expected 1250)" in err
    assert "official/hallucination 748 (expected 749)" in err
    assert err.count("\n") == 1
    record = json.loads((tmp_path / "data" / "download.json").read_text())
    assert (record["revision"], record["commit"]) == ("main", commit)
    assert "downloaded now" not in out


def test_missing_images_are_all_named_and_then_fetched(hub, mmrlhf, run, tmp_path) -> None:
    [files] = hub.data_sets[MMRLHF].values()
    taken = {path: files.pop(path) for path in list(files) if path.startswith("images/safety/")}
    taken |= {path: files.pop(path) for path in list(files) if path.startswith("images/video-7/")}
    status, out, err = run(hub, tmp_path / "data", "mmrlhf_rewardbench")
    assert (status, err) == (1, "")
    expected = [
        f"{row.get('image') or row['video']} (row {number}, {row['id']})"
        for number, row in enumerate(oracles.mmrlhf_rows(), start=1)
        if row["id"].startswith("safety") or row["id"] == "video-7"
    ]
    listed = tmp_path / "data" / "missing_images.txt"
    assert listed.read_text().splitlines() == expected
    assert len(expected) == 32 + 2
    assert cells(out, "missing") == [34]
    assert cells(out, "images and videos") == [170 - 34]
    shown = re.findall(r"^missing (.*)$", out, re.MULTILINE)
    assert shown == expected[:20]
    assert f"14 more in {listed}" in out
    files |= taken
    hub.gets.clear()
    assert run(hub, tmp_path / "data", "mmrlhf_rewardbench")[0] == 0
    assert sorted(hub.gets) == sorted(taken)
    assert not listed.exists()


def test_without_a_network_one_message_says_what_to_fetch_and_where_to(run, tmp_path) -> None:
    root = tmp_path / "data"
    status, out, err = run("http://127.0.0.1:1", root, "vlrewardbench")
    assert (status, out) == (2, "")
    assert err.count("\n") == 1
    assert "http://127.0.0.1:1 cannot be reached" in err
    assert VLRB in err
    assert f"to {root}/data" in err
    assert not root.exists()


def test_what_is_there_is_used_without_a_network(hub, vlrb, run, tmp_path) -> None:
    assert run(hub, tmp_path / "data", "vlrewardbench")[0] == 0
    status, out, err = run("http://127.0.0.1:1", tmp_path / "data", "vlrewardbench")
    assert (status, err) == (0, "")
    assert cells(out, "rows") == [1250]
    assert "warning http://127.0.0.1:1 cannot be reached" in out


def test_a_broken_connection_is_tried_again(hub, vlrb, run, tmp_path) -> None:
    hub.cut[SHARD] = len(vlrb) // 2
    assert run(hub, tmp_path / "data", "vlrewardbench")[0] == 0
    assert (tmp_path / "data" / SHARD).read_bytes() == vlrb
    assert hub.gets == [SHARD, SHARD]


def test_a_killed_download_leaves_nothing_half_and_the_rerun_completes_it(
    hub, mmrlhf, run, tmp_path
) -> None:
    root, big = tmp_path / "data", "images/large.bin"
    mmrlhf[big] = os.urandom(4_000_000)
    hub.pause = 0.1  # the large one takes six seconds
    overrides = command(hub, root, "mmrlhf_rewardbench")
    killed = subprocess.Popen([sys.executable, "-m", "r1reward.eval.fetch", *overrides], cwd=REPO)
    deadline = time.monotonic() + 60
    while big not in hub.gets or len(list(root.glob("images/*/*.png"))) < 5:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    whole = {name for name in below(root) if not name.startswith(".download/")}
    assert whole
    assert {name: (root / name).read_bytes() == mmrlhf[name] for name in whole} == dict.fromkeys(
        whole, True
    )
    assert big not in whole
    hub.pause = 0.0
    hub.gets.clear()
    assert run(hub, root, "mmrlhf_rewardbench")[0] == 0
    assert {name: file for name, file in below(root).items() if name != "download.json"} == mmrlhf
    assert not whole & set(hub.gets)


@pytest.mark.parametrize("name", ["data/test-/../../../x.parquet", "/data/test-x.parquet"])
def test_no_file_leaves_the_folder(name, hub, vlrb, run, tmp_path) -> None:
    hub.put(VLRB, {SHARD: vlrb, name: b"malice"})
    before = set(below(tmp_path))
    files = "hub.files=[data/test-*.parquet,/data/*]"
    status, _, err = run(hub, tmp_path / "data", "vlrewardbench", "hub.revision=main", files)
    assert status == 2
    assert f"{name!r} would leave" in err
    assert set(below(tmp_path)) == before
    assert hub.gets == []


@pytest.mark.parametrize("name", ["..", "a/../../b", "/etc/x", "a\\..\\b", "a\0b", "", "out/x"])
def test_names_that_leave_a_folder_are_refused(name, tmp_path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    (root / "out").symlink_to(tmp_path)
    with pytest.raises(FetchError, match="would leave"):
        inside(root, name)
    assert inside(root, "a/..b/c.png") == root / "a/..b/c.png"


def test_what_arrives_damaged_is_not_put_in_place(hub, vlrb, run, tmp_path) -> None:
    hub.damaged[SHARD] = bytes(len(vlrb))
    status, _, err = run(hub, tmp_path / "data", "vlrewardbench")
    assert status == 2
    assert f"{SHARD} of {VLRB} arrived damaged" in err
    assert not (tmp_path / "data" / SHARD).exists()
    hub.damaged.clear()
    assert run(hub, tmp_path / "data", "vlrewardbench")[0] == 0


def test_shards_of_an_earlier_commit_go_unless_they_were_changed(hub, tmp_path) -> None:
    def bring():
        return sync(Hub(hub.url), "a/b", "main", ["data/*"], tmp_path / "data", Console(quiet=True))

    old = {f"data/test-{n}-of-3": b"%d" % n for n in range(3)}
    first = hub.put("a/b", old)
    assert (bring().files, json_of(tmp_path)["commit"]) == (3, first)
    (tmp_path / "data" / "data/test-1-of-3").write_bytes(b"mine")
    (tmp_path / "data" / "notes.txt").write_bytes(b"mine too")
    second = hub.put("a/b", {"data/test-0-of-1": b"all"})
    assert (bring().files, json_of(tmp_path)["commit"]) == (1, second)
    kept = {name for name in below(tmp_path / "data") if name != "download.json"}
    assert kept == {"data/test-0-of-1", "data/test-1-of-3", "notes.txt"}


def json_of(tmp_path):
    return json.loads((tmp_path / "data" / "download.json").read_text())


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["hub.repo=no/body"], "no/body"),
        (["hub.revision=nowhere"], "nowhere"),
        (["hub.files=[other/*]"], "no file named other/*"),
        (["hub.endpoint=127.0.0.1"], "begin it with https:// or http://"),
        (["hub.endpont=x"], "endpont"),
    ],
)
def test_what_cannot_be_asked_is_one_message(overrides, message, hub, vlrb, run, tmp_path) -> None:
    status, _, err = run(hub, tmp_path / "data", "vlrewardbench", *overrides)
    assert status == 2
    assert message in err
    assert "Traceback" not in err


def test_two_downloads_do_not_write_one_folder(hub, vlrb, run, tmp_path) -> None:
    with alone(tmp_path / "data" / STAGING):
        status, _, err = run(hub, tmp_path / "data", "vlrewardbench")
    assert status == 2
    assert "another download" in err
    assert run(hub, tmp_path / "data", "vlrewardbench")[0] == 0


def test_a_login_is_not_sent_to_another_endpoint(hub, vlrb, run, tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    assert run(hub, tmp_path / "data", "vlrewardbench")[0] == 0
    assert hub.headers
    assert all("authorization" not in headers for headers in hub.headers)


def test_what_comes_with_the_repository_needs_nothing(run) -> None:
    photos = REPO / "recipes" / "photos"
    before = set(below(photos))
    status, out, err = run("http://127.0.0.1:1", photos, "photos")
    assert (status, err) == (0, "")
    assert "nothing to download. It comes with the package" in out
    assert (cells(out, "rows"), cells(out, "official/tool")) == ([204], [46])
    assert set(below(photos)) == before


def test_the_advice_names_the_revision_that_is_downloaded() -> None:
    source = (REPO / "eval" / "benchmarks" / "vlrewardbench.py").read_text()
    assert configuration("vlrewardbench")["hub"]["revision"] in source


# --- Multimodal RewardBench from its sources

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
