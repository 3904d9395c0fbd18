"""Requests over HTTP: redirects, keys, connections, and servers that are not there."""

import asyncio
import email.utils
import socket
import time

import pytest
from support.chat_server import ChatServer

from r1reward.endpoint.fault import RequestFault
from r1reward.endpoint.reply import Completion
from r1reward.endpoint.request import Transport

BODY = {"model": "m", "messages": [{"role": "user", "content": "hello"}]}


def ask(url, key="", most_s=60.0, times=1):
    async def session():
        transport = Transport(key)
        try:
            return [await transport.complete(url, BODY, most_s) for _ in range(times)]
        finally:
            await transport.close()

    return asyncio.run(session())[-1]


def probe(url):
    async def session():
        transport = Transport("")
        try:
            return await transport.probe(url), await transport.alive(url)
        finally:
            await transport.close()

    return asyncio.run(session())


def test_a_question_and_its_answer(serve) -> None:
    server = serve("say", text="hello yourself")
    assert ask(server.url) == Completion("hello yourself", "", "stop", 100, 7)
    assert server.bodies == [BODY]
    assert "authorization" not in server.headers[0]


def test_connections_are_used_again(serve) -> None:
    server = serve("say", text="x")
    ask(server.url, times=5)
    assert len(server.peers) == 1


def test_the_key_is_sent_and_comes_back_in_nothing(serve) -> None:
    server = serve("refuse")
    found = ask(server.url, key="sk-nobody-may-see-this")
    assert server.headers[0]["authorization"] == "Bearer sk-nobody-may-see-this"
    assert found == RequestFault("refused", "HTTP 401: no: Bearer ***", 401)
    for before in (0, *range(220, 300, 6), 1990):
        server.set("raw", status=200, text=" x" * (before // 2) + " sk-nobody-may-see-this")
        found = ask(server.url, key="sk-nobody-may-see-this")
        assert "sk-" not in found.detail, "nor a part of it"
        assert len(found.detail) <= 300


@pytest.mark.parametrize("key", ["1", "EMPTY", "completion"])
def test_a_key_that_is_a_word_changes_no_answer(serve, key) -> None:
    server = serve("say", text="the completion says 1 and EMPTY")
    assert ask(server.url, key=key).content == "the completion says 1 and EMPTY"


def test_a_redirect_that_keeps_the_question_is_followed(serve) -> None:
    there = serve("say", text="here")
    here = serve("redirect", status=307, location=f"{there.url}/chat/completions")
    assert ask(here.url).content == "here"
    assert there.bodies == here.bodies


def test_the_key_stays_with_the_address_that_it_was_given_for(serve) -> None:
    there = serve("say", text="here")
    here = serve("redirect", status=308, location=f"{there.url}/chat/completions")
    ask(here.url, key="sk-1")
    assert here.headers[0]["authorization"] == "Bearer sk-1"
    assert "authorization" not in there.headers[0]


@pytest.mark.parametrize("status", [301, 302, 303])
def test_a_redirect_that_loses_the_question_is_not_mistaken_for_an_answer(serve, status) -> None:
    there = serve()
    here = serve("redirect", status=status, location=f"{there.url}/models")
    found = ask(here.url)
    assert (found.kind, found.status) == ("refused", status)
    assert "the address has moved" in found.detail


def test_a_redirect_in_a_circle_ends(serve) -> None:
    server = serve("redirect", status=307)
    server.settings["location"] = f"{server.url}/chat/completions"
    assert ask(server.url).kind == "nonsense"


def test_nobody_there_is_said_in_words() -> None:
    with ChatServer() as gone:
        pass
    found = ask(gone.url)
    detail = f"cannot connect to 127.0.0.1:{gone.port} (Connection refused)"
    assert found == RequestFault("connection", detail)
    assert probe(gone.url) == (found, False)


def test_https_where_http_is_spoken_is_said(serve) -> None:
    found = ask(serve().url.replace("http:", "https:"))
    assert found.kind == "connection"
    assert "SSL" in found.detail


def test_a_port_where_somebody_listens_and_says_nothing() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/v1"
        assert ask(url, most_s=0.3) == RequestFault("timeout", "no answer within 0.3 s")


def test_an_answer_that_breaks_off(serve) -> None:
    assert ask(serve("drop").url).kind == "connection"


@pytest.mark.parametrize("proxy", ["http://me:hunter2@127.0.0.1:9", "socks5://127.0.0.1:9", ": :"])
def test_a_proxy_that_cannot_be_used_is_a_fault(monkeypatch, proxy) -> None:
    monkeypatch.setenv("http_proxy", proxy)
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    found = ask("http://127.0.0.1:8/v1")
    assert found.kind in ("connection", "nonsense")
    assert "hunter2" not in found.detail


WAITS = [("7", 7.0), ("0.5", 0.5), ("soon", 0), ("-5", 0), ("nan", 0), ("inf", 0), ("1e400", 0)]


@pytest.mark.parametrize(("header", "seconds"), [*WAITS, ("", 0), (None, 0)])
@pytest.mark.parametrize("mode", ["rate_limit"])
def test_retry_after_in_seconds(serve, mode, header, seconds) -> None:
    found = ask(serve(mode, retry_after=header).url)
    assert (found.kind, found.status, found.wait) == ("rate_limit", 429, seconds)


def test_retry_after_as_a_date(serve) -> None:
    hour = email.utils.formatdate(time.time() + 3600, usegmt=True)
    assert 3000 < ask(serve("rate_limit", retry_after=hour).url).wait <= 3600
    past = email.utils.formatdate(time.time() - 3600, usegmt=True)
    assert ask(serve("rate_limit", retry_after=past).url).wait == 0


@pytest.mark.parametrize(
    ("status", "fault", "alive"),
    [(200, None, True), (404, None, True), (401, "refused", True), (503, "server", False)],
)
def test_an_address_is_probed_by_its_list_of_models(serve, status, fault, alive) -> None:
    server = serve()
    server.models_status = status
    found, there = probe(server.url)
    assert (found and found.kind, there) == (fault, alive)
    assert server.bodies == []


def test_an_address_that_lacks_v1_is_found_out(serve) -> None:
    server = serve()
    found, there = probe(server.url.removesuffix("/v1"))
    assert found.detail == f"HTTP 404, but {server.url} answers"
    assert there
