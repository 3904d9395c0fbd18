"""What a reply says, in the shapes that endpoints send."""

import json

import pytest

from r1reward.endpoint.fault import RequestFault
from r1reward.endpoint.reply import Completion, fault_kind, read_completion, read_error

GOOD = "<think>The first fits.</think><answer>1</answer>"


def reply(finish="stop", usage=None, **message):
    choice = {"index": 0, "message": {"role": "assistant", **message}, "finish_reason": finish}
    return json.dumps({"object": "chat.completion", "choices": [choice], "usage": usage}).encode()


def parts(*texts, kind="text"):
    return [{"type": kind, "text": text} for text in texts]


TEXTS = [
    # reply, the whole response, the answer alone
    (reply(content=GOOD), GOOD, GOOD),
    (reply(content=parts("<think>The first", " fits.</think><answer>1</answer>")), GOOD, GOOD),
    (reply(content=parts(GOOD, kind="output_text")), GOOD, GOOD),
    (reply(content=None), "", ""),
    (reply(), "", ""),
    (reply(content=[]), "", ""),
    # the reasoning beside the answer, under either name
    (
        reply(content="<answer>1</answer>", reasoning_content="The first fits."),
        GOOD,
        "<answer>1</answer>",
    ),
    (reply(content="<answer>1</answer>", reasoning="The first fits."), GOOD, "<answer>1</answer>"),
    (
        reply(
            content=[
                {"type": "thinking", "thinking": parts("The first fits.")},
                *parts("<answer>1</answer>"),
            ]
        ),
        GOOD,
        "<answer>1</answer>",
    ),
    # the content repeats it
    (reply(content=GOOD, reasoning_content="The first fits."), GOOD, GOOD),
    # the parser of the server took all for reasoning
    (reply(content=None, reasoning_content=GOOD), GOOD, GOOD),
    (reply(content="", reasoning_content='{"conclusion": "1"}'), None, '{"conclusion": "1"}'),
    # cut within the reasoning: no answer, and no end of it
    (reply("length", content=None, reasoning_content="The fir"), "<think>The fir", ""),
    (reply(content=None, refusal="I cannot help."), "I cannot help.", "I cannot help."),
    (reply("content_filter", content="Part of"), "Part of", "Part of"),
    (reply(content="a\ud800b"), "a\ufffdb", "a\ufffdb"),
    (reply(content="\ud83d\ude00"), "\U0001f600", "\U0001f600"),
]


@pytest.mark.parametrize(("content", "text", "conclusion"), TEXTS, ids=range(len(TEXTS)))
def test_the_text_is_found_wherever_it_is(content, text, conclusion) -> None:
    found = read_completion(content)
    assert isinstance(found, Completion)
    assert found.conclusion == conclusion
    if text is not None:
        assert found.text == text
    found.text.encode()


@pytest.mark.parametrize("finish", ["stop", "length", "content_filter", None])
def test_why_it_ended_and_what_it_took_are_kept(finish) -> None:
    usage = {"prompt_tokens": 100, "completion_tokens": 7}
    found = read_completion(reply(finish, usage, content="x"))
    assert (found.finish_reason, found.prompt_tokens, found.completion_tokens) == (finish, 100, 7)
    assert found.cut is (finish == "length")
    assert read_completion(reply(content="x", usage=None)).prompt_tokens == 0


FAULTS = [
    # content of a 200, kind, words, status
    ('{"error": {"message": "model is overloaded", "code": 502}}', "server", "overloaded", 502),
    ('{"error": {"message": "quota", "code": "429"}}', "rate_limit", "quota", 429),
    ('{"error": {"message": "bad key", "code": 401}}', "refused", "bad key", 401),
    ('{"error": {"message": "no idea", "code": "oops"}}', "server", "no idea", 500),
    ('{"error": "in one word"}', "server", "in one word", 500),
    ('{"object": "error", "message": "too long", "code": 400}', "refused", "too long", 400),
    (
        '{"choices": [{"error": {"message": "provider left", "code": 503}, "message": {}}]}',
        *("server", "provider left", 503),
    ),
    ("<html><style>b{}</style><h1>Sign in</h1> &amp; go", "nonsense", "'Sign in & go'", 200),
    ("\n <!doctype html><p>x", "nonsense", "a web page and no API", 200),
    ('{"choices": []}', "nonsense", '{"choices": []}', 200),
    ("", "nonsense", "no chat completion", 200),
    ("[" * 100_000, "nonsense", "no chat completion", 200),
]


@pytest.mark.parametrize(("content", "kind", "words", "status"), FAULTS, ids=range(len(FAULTS)))
def test_a_200_that_holds_no_answer_says_why(content, kind, words, status) -> None:
    found = read_completion(content.encode())
    assert isinstance(found, RequestFault)
    assert (found.kind, found.status) == (kind, status)
    assert words in found.detail


@pytest.mark.parametrize("message", [{"content": None}, {"content": ""}, {"content": []}])
def test_a_withheld_answer_is_a_fault_and_no_answer(message) -> None:
    found = read_completion(reply("content_filter", **message, refusal="I cannot help with that."))
    assert found.kind == "filtered"
    assert "I cannot help with that." in found.detail
    assert read_completion(reply("content_filter", **message)).kind == "filtered"


ERRORS = [
    ('{"error": {"message": "Incorrect API key provided", "code": null}}', "Incorrect API key"),
    ('{"object": "error", "message": "context length is 4096"}', "HTTP 400: context length is 4"),
    ('{"detail": "Not Found"}', "HTTP 400: Not Found"),
    ('{"detail": [{"loc": ["body"], "msg": "field required"}]}', "field required"),
    ('{"error": {"message": "half \\ud800"}}', "half \ufffd"),
    ("<html><title>502 Bad Gateway</title></html>", "a web page, 502 Bad Gateway"),
    ("plain words", "HTTP 400: plain words"),
    ("", "HTTP 400"),
]


@pytest.mark.parametrize(("content", "words"), ERRORS, ids=range(len(ERRORS)))
def test_the_endpoints_own_words_are_kept(content, words) -> None:
    assert words in read_error(400, content.encode(), 0.0).detail


@pytest.mark.parametrize(
    ("statuses", "kind"),
    [
        ([429], "rate_limit"),
        ([408, 409, 425, 500, 502, 503, 504, 529], "server"),
        ([302, 400, 401, 403, 404, 413, 422], "refused"),
    ],
)
def test_a_status_is_a_kind_of_fault(statuses, kind) -> None:
    assert {fault_kind(status) for status in statuses} == {kind}
