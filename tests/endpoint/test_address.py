"""Addresses and keys: what is taken, and that no secret is shown."""

import pytest

from r1reward.core.errors import ConfigError
from r1reward.endpoint.address import (
    proxy_variables,
    read_addresses,
    read_key,
    without_secrets,
)

SECRETS = [
    "http://me:hunter2@x/v1",
    "https://hunter2@x/v1",
    "http://me:hunter2@x:port/v1",
    "http://x/v1?api_key=hunter2",
    "http://x?key=hunter2",
]


@pytest.mark.parametrize("group", ["judge", "consistency"])
@pytest.mark.parametrize("url", SECRETS)
def test_a_secret_in_an_address_is_refused_and_not_repeated(url, group) -> None:
    for given in (url, ["http://y/v1", url]):
        with pytest.raises(ConfigError, match=rf"{group}\.key_env") as raised:
            read_addresses(given, group)
        assert "hunter2" not in str(raised.value)


@pytest.mark.parametrize(
    ("given", "read"),
    [
        (None, ["https://api.openai.com/v1"]),
        ("http://x:8000/v1/", ["http://x:8000/v1"]),
        (["http://x/v1", "https://[::1]:8/v1"], ["http://x/v1", "https://[::1]:8/v1"]),
    ],
)
def test_addresses_are_read(given, read) -> None:
    assert read_addresses(given, "judge") == read


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("localhost:8000", "judge.base_url=localhost:8000: give http://host:port/v1"),
        ("http://x:port/v1", "give http://host:port/v1"),
        ("ftp://x/v1", "give http://host:port/v1"),
        ("", "give http://host:port/v1"),
        ([], "one address or several"),
        (["http://x/v1", "http://x/v1"], "different"),
        ("http://x/v1/chat/completions", "leave /chat/completions out"),
    ],
)
def test_what_is_no_address_is_said(given, words) -> None:
    with pytest.raises(ConfigError, match=words):
        read_addresses(given, "judge")


def test_the_key_comes_from_the_environment(monkeypatch) -> None:
    monkeypatch.setenv("SOME_KEY", " sk-1 ")
    assert read_key("SOME_KEY", "judge", needed=True) == "sk-1"
    assert read_key("NO_SUCH_KEY", "judge", needed=False) == ""
    with pytest.raises(ConfigError, match=r"set NO_SUCH_KEY, or judge\.base_url"):
        read_key("NO_SUCH_KEY", "judge", needed=True)
    monkeypatch.setenv("SOME_KEY", "sk-ключ")
    with pytest.raises(ConfigError, match="SOME_KEY") as raised:
        read_key("SOME_KEY", "judge", needed=True)
    assert "ключ" not in str(raised.value)


def test_no_message_shows_a_secret() -> None:
    text = "POST http://me:hunter2@proxy:1/x with sk-12345 failed; a@b"
    assert without_secrets(text, "sk-12345") == "POST http://***@proxy:1/x with *** failed; a@b"
    for key in ("", "1", "EMPTY"):
        assert without_secrets("HTTP 401: EMPTY", key) == "HTTP 401: EMPTY"


def test_only_a_proxy_that_is_used_is_named(monkeypatch) -> None:
    for name in ("http_proxy", "https_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    assert proxy_variables("http://x/v1") == []
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy:1")
    assert proxy_variables("http://x/v1") == []
    assert proxy_variables("https://x/v1") == ["HTTPS_PROXY"]
    monkeypatch.setenv("NO_PROXY", "x,127.0.0.1")
    assert proxy_variables("https://x/v1") == []
