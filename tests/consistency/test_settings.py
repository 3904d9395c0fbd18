"""Settings of the remote check: what cannot work is said at once, and no secret is shown."""

import logging

import pytest
from support.consistency import build, cases, kinds, run

from r1reward.config.compose import compose_config
from r1reward.core.errors import ConfigError


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"model": None}, "consistency.model"),
        ({"prompt": "lenient"}, "strict, released"),
        ({"view": "half"}, "whole, last_lines"),
        ({"concurrency": 0}, "concurrency=0"),
        ({"retries": -1}, "retries=-1"),
        ({"patience_s": 0}, "patience_s=0"),
        ({"patience": 3}, "patience"),
        ({"request_s": 9.0, "deadline_s": 3.0}, "ends before the deadline"),
        ({"base_url": "localhost:8000"}, "http://host:port/v1"),
        ({"base_url": "http://x:port/v1"}, "http://host:port/v1"),
        ({"base_url": []}, "give one address"),
        ({"base_url": ["http://x/v1", "http://x/v1"]}, "different"),
        ({"base_url": None, "key_env": "NO_SUCH_KEY"}, "set NO_SUCH_KEY"),
    ],
)
def test_what_cannot_work_is_said_at_once(wrong, words) -> None:
    with pytest.raises(Exception, match=words) as raised:
        build(**{"base_url": "http://x/v1", **wrong})
    assert isinstance(raised.value.__cause__ or raised.value, ConfigError | TypeError)


@pytest.mark.parametrize(
    "url",
    [
        "http://me:hunter2@x/v1",
        "https://hunter2@x/v1",
        "http://me:hunter2@x:port/v1",
        "http://x/v1?api_key=hunter2",
    ],
)
def test_a_secret_in_an_address_is_refused_and_not_repeated(url) -> None:
    with pytest.raises(Exception, match=r"consistency\.key_env") as raised:
        build(base_url=["http://y/v1", url])
    assert "hunter2" not in str(raised.value.__cause__)


def test_the_key_is_sent_and_never_shown(serve, monkeypatch, caplog) -> None:
    monkeypatch.setenv("CHECK_KEY", "sk-nobody-may-see-this")
    server = serve("refuse")
    with caplog.at_level(logging.DEBUG):
        check = build(server, key_env="CHECK_KEY")
        [got] = run(check, cases(3))
    assert server.headers[0]["authorization"] == "Bearer sk-nobody-may-see-this"
    assert kinds(got) == {"refused"}
    assert "sk-nobody" not in caplog.text
    assert "HTTP 401" in caplog.text
    assert "***" in caplog.text, "the server had repeated the key"
    assert "check the key in CHECK_KEY" in caplog.text
    assert caplog.text.count("check failure") == 1, "one line for many of a kind"


def test_a_key_that_no_header_can_hold_is_refused(monkeypatch) -> None:
    monkeypatch.setenv("CHECK_KEY", "sk-ключ")
    with pytest.raises(Exception, match="CHECK_KEY") as raised:
        build(base_url="http://x/v1", key_env="CHECK_KEY")
    assert "ключ" not in str(raised.value.__cause__)


def test_without_a_key_none_is_sent(serve) -> None:
    server = serve()
    run(build(server, key_env="NO_SUCH_KEY"), cases(1))
    assert "authorization" not in server.headers[0]


def test_training_takes_it_and_keeps_answers_with_the_run() -> None:
    config = compose_config(["consistency=openai", "cluster=cpu", "run.dir=/x"])
    assert config.consistency.cache == "/x/consistency_cache.sqlite"


def test_the_limit_on_tokens_has_the_endpoints_name_for_it(serve) -> None:
    server = serve()
    run(build(server, tokens_field="max_completion_tokens"), cases(1))
    [body] = server.bodies
    assert body["max_completion_tokens"] == 1024
    assert "max_tokens" not in body


def test_what_was_asked_has_a_price(serve) -> None:
    [[got]] = run(build(serve("garbage", 1), input_price=20.0, output_price=200.0), cases(1))
    assert got.call.cost == pytest.approx(2 * (100 * 20 + 7 * 200) / 1e6)
