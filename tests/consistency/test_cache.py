"""Answers that are kept: asked for once, by all processes, whatever happens to the file."""

import asyncio
import json
import sqlite3
import subprocess
import sys

import pytest
from support.consistency import build, cases, expected, kinds, run, together, verdicts

from r1reward.config.compose import REPO
from r1reward.consistency.base import Case, CheckCall


def test_an_answer_is_asked_for_once(serve, tmp_path) -> None:
    server, asked, path = serve(), cases(20), tmp_path / "new" / "cache.sqlite"
    [first] = run(build(server, cache=path), asked)
    assert server.count == 20
    [again, other] = run(build(server, cache=path), asked, cases(5, "other"))
    assert server.count == 25
    assert verdicts(first) == verdicts(again) == expected(asked)
    assert {item.call for item in again} == {CheckCall(0.0, cached=True)}
    assert not any(item.call.cached for item in first + other)


def test_the_key_is_all_that_an_answer_depends_on(serve, tmp_path) -> None:
    server, path = serve(), tmp_path / "cache.sqlite"
    one = [Case("Long.\nLonger.\nStill longer.\nResponse 1 is better.", 1)]

    def asked(answer=1, **settings):
        before = server.count
        [[got]] = run(build(server, cache=path, **settings), [Case(one[0].reasoning, answer)])
        assert got.consistent is (answer == 1)
        return server.count - before

    assert asked() == 1
    assert asked() == 0
    assert asked(concurrency=3, retries=0) == 0
    assert asked(answer=2) == 0, "strict does not tell the check the answer"
    assert asked(model="another") == 1
    assert asked(view="last_lines") == 1
    assert asked(prompt="released") == 1
    assert asked(prompt="released", answer=2) == 1
    assert asked(prompt="released", answer=2) == 0


@pytest.mark.parametrize("mode", ["garbage", "errors", "nonsense", "refuse"])
def test_a_failure_is_never_kept(serve, tmp_path, mode) -> None:
    server, path = serve(mode), tmp_path / "cache.sqlite"
    [failed] = run(build(server, cache=path, patience_s=0.1), cases(3))
    assert None not in kinds(failed)
    server.set("right")
    [got] = run(build(server, cache=path), cases(3))
    assert verdicts(got) == expected(cases(3))
    assert not any(item.call.cached for item in got)


def damaged(kind, path):
    content = bytearray(path.read_bytes())
    if kind == "not a database":
        content = b"these are not the answers you are looking for" * 200
    elif kind == "pages overwritten":
        content[4096:] = b"\xff" * (len(content) - 4096)
    else:
        content[100:4096] = bytes(3996)
    path.write_bytes(content)


@pytest.mark.parametrize("kind", ["not a database", "pages overwritten", "schema overwritten"])
def test_a_damaged_cache_is_set_aside_and_begun_again(serve, tmp_path, caplog, kind) -> None:
    server, asked, path = serve(), cases(300), tmp_path / "cache.sqlite"
    run(build(server, cache=path), asked)
    damaged(kind, path)
    check = build(server, cache=path)
    [got] = run(check, asked)
    assert verdicts(got) == expected(asked)
    assert check.cache_warnings == 1
    assert "answer cache" in caplog.text
    [aside] = [one for one in tmp_path.iterdir() if "damaged" in one.name]
    assert aside.read_bytes() != path.read_bytes()
    again = build(server, cache=path)
    [cached] = run(again, asked)
    assert sum(item.call.cached for item in cached) >= 250
    assert again.cache_warnings == 0


def test_a_cache_that_is_damaged_while_it_is_used(serve, tmp_path) -> None:
    server, path = serve(), tmp_path / "cache.sqlite"

    async def session():
        check = build(server, cache=path)
        first = await together(check, cases(300, "a"))
        await asyncio.sleep(0.2)
        path.write_bytes(b"nothing" * 30_000)
        second = await together(check, cases(300, "b"))
        await check.close()
        return first, second, check.cache_warnings

    first, second, warnings = asyncio.run(session())
    assert verdicts(first) == verdicts(second) == expected(cases(300))
    assert warnings <= 2


def test_a_cache_that_cannot_be_there_costs_answers_only(serve, tmp_path) -> None:
    (tmp_path / "file").write_text("in the way")
    for path in (tmp_path / "file" / "cache.sqlite", tmp_path):
        check = build(serve(), cache=path)
        [got] = run(check, cases(5))
        assert verdicts(got) == expected(cases(5))
        assert check.cache_warnings > 0


def test_a_cached_text_without_a_verdict_is_asked_again(serve, tmp_path) -> None:
    server, path = serve(), tmp_path / "cache.sqlite"
    run(build(server, cache=path), cases(4))
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE answers SET text = 'hm'")
    [got] = run(build(server, cache=path), cases(4))
    assert verdicts(got) == expected(cases(4))
    assert server.count == 8
    run(build(server, cache=path), cases(4))
    assert server.count == 8, "the new text took its place"


WORKER = """
import sys
sys.path.insert(0, "tests")
from support.consistency import build, cases, expected, run, verdicts
from r1reward.endpoint import cache
cache._BUSY_S = 300.0  # a busy disk is slow, not wrong
class At: url = sys.argv[1]
check = build(At, cache=sys.argv[2])
print("ready", flush=True)
sys.stdin.readline()
[got] = run(check, cases(200))
assert verdicts(got) == expected(cases(200))
asked = [item.call for item in got if not item.call.cached]
print(check.cache_warnings, sum(1 + call.retries for call in asked))
"""


def test_processes_share_a_cache(serve, tmp_path) -> None:
    server, path = serve("slow", seconds=0.005), tmp_path / "cache.sqlite"
    command = [sys.executable, "-c", WORKER, server.url, str(path)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    workers = [subprocess.Popen(command, cwd=REPO, **pipes) for _ in range(3)]
    assert {worker.stdout.readline() for worker in workers} == {"ready\n"}
    outputs = [worker.communicate("go\n")[0].split() for worker in workers]
    assert [worker.returncode for worker in workers] == [0, 0, 0]
    assert [int(warnings) for warnings, _ in outputs] == [0, 0, 0]
    # Whatever the order of things: each question came out of the cache, or was sent.
    assert server.count == sum(int(requests) for _, requests in outputs)
    sent = {json.dumps(body) for body in server.bodies}
    assert len(sent) == 200
    [late] = run(build(server, cache=path), cases(200))
    assert all(item.call.cached for item in late), "what one process learned, all know"
    with sqlite3.connect(path) as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        assert connection.execute("SELECT count(*) FROM answers").fetchone() == (200,)


def test_a_process_finds_what_another_one_asked_meanwhile(serve, tmp_path) -> None:
    server, path = serve(), tmp_path / "cache.sqlite"
    command = [sys.executable, "-c", WORKER, server.url, str(path)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, cwd=REPO, **pipes) as other:
        assert other.stdout.readline() == "ready\n"
        run(build(server, cache=path), cases(200))
        assert other.communicate("go\n")[0].split() == ["0", "0"]
    assert server.count == 200
