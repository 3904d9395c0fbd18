"""The front door in Python: what importing it costs, what it asks, and what it answers."""

import asyncio
import base64
import io
import subprocess
import sys

import pytest
from PIL import Image
from support.chat_server import ChatServer

import r1reward
from r1reward.config.compose import REPO
from r1reward.core.given import ArgumentError
from r1reward.core.media import ImageError
from r1reward.core.prompt import render_prompt
from r1reward.core.verdict import Verdict
from r1reward.endpoint.fault import Fault

PHOTO = REPO / "recipes" / "photos" / "images" / "categorization-renewable-windmill11.webp"
MODEL = REPO / "recipes" / "tiny" / "checkpoint"
QUESTION, RESPONSES = "What is shown?", ("A windmill.", "A fish.")


def constant(choice=1):
    return r1reward.Judge(judge="constant", choice=choice)


# --- importing


def loaded(code):
    """The modules that a program loads."""
    code = f"import sys; {code}; print(*sys.modules)"
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=REPO)
    return set(done.stdout.split())


HEAVY = {"torch", "transformers", "verl", "ray", "vllm", "openai"}


def test_importing_the_package_loads_nothing():
    found = loaded("import r1reward")
    assert not found & {*HEAVY, "omegaconf", "hydra", "PIL", "numpy", "asyncio"}
    assert {name for name in found if name.startswith("r1reward")} == {"r1reward"}


def test_a_judge_that_needs_no_model_loads_no_torch():
    code = "import r1reward; j = r1reward.Judge(judge='constant'); j.compare('Q?', ('a', 'b'))"
    assert not loaded(f"{code}; j.close()") & HEAVY


def test_every_public_name_is_there_documented_and_listed():
    for name in r1reward.__all__:
        value = getattr(r1reward, name)
        assert value.__doc__, name
        assert value.__name__ == name
    assert set(r1reward.__all__) <= set(dir(r1reward))
    with pytest.raises(AttributeError, match="no attribute 'judge_all'"):
        _ = r1reward.judge_all


# --- asking


def test_both_orders_are_asked_of_an_endpoint():
    says_one = "<think>Response 1 is right.</think><answer>1</answer>"
    parts = ["Like ", PHOTO, "."]
    with ChatServer("say", text=says_one) as server:
        with r1reward.Judge.connect(server.url, "m", temperature=0.5, max_tokens=64) as judge:
            result = judge.compare(QUESTION, ("A windmill.", parts), images=PHOTO)
            single = judge.compare(QUESTION, RESPONSES, both_orders=False)
        bodies = server.bodies
    asked = {"".join(map(text_of, body["messages"][0]["content"])): body for body in bodies}
    marked = ("A windmill.", "Like <image>.")
    orders = [marked, marked[::-1], RESPONSES]
    prompts = [render_prompt(QUESTION, responses) for responses in orders]
    assert set(asked) == {f"<image>{prompts[0]}", f"<image>{prompts[1]}", prompts[2]}
    assert {(body["model"], body["temperature"], body["max_tokens"]) for body in bodies} == {
        ("m", 0.5, 64)
    }
    assert result.orders == (
        Verdict(1, "Response 1 is right.", True),
        Verdict(2, "Response 2 is right.", True),
    )
    assert (result.choice, result.agrees) == (None, False)
    assert (result.usage.prompt_tokens, result.usage.completion_tokens) == (200, 14)
    assert (single.choice, len(single.orders)) == (1, 1)


def text_of(part):
    """A part of a request as text; an image must be the photo."""
    if part["type"] == "text":
        return part["text"]
    content = part["image_url"]["url"].partition("base64,")[2]
    assert base64.b64decode(content) == PHOTO.read_bytes()
    return "<image>"


def test_an_endpoint_that_refuses_is_a_failure_and_no_exception():
    with (
        ChatServer("refuse", status=401) as server,
        r1reward.Judge.connect(server.url, "m") as judge,
    ):
        result = judge.compare(QUESTION, RESPONSES)
    assert result.choice is None
    assert all(isinstance(failure, Fault) for failure in result.failures)
    assert len(result.failures) == 2


def test_a_constant_judge_never_agrees_with_itself():
    for choice in (1, 2):
        with constant(choice) as judge:
            result = judge.compare(QUESTION, RESPONSES, images=PHOTO)
        assert [order.choice for order in result.orders] == [choice, 3 - choice]
        assert (result.choice, result.agrees) == (None, False)


def test_the_tiny_model_judges_a_photo_from_a_file_and_from_pixels():
    right, wrong = "The photo shows a source of renewable energy.", "The photo shows a fish."
    buffer = io.BytesIO()
    Image.open(PHOTO).convert("RGB").save(buffer, "PNG")
    with r1reward.Judge(MODEL, "hf", max_tokens=64, device="cpu") as judge:
        question = "What is shown in this photo?"
        first = judge.compare(question, (right, wrong), images=[PHOTO])
        again = judge.compare(question, (right, wrong), images=[buffer.getvalue()])
        other = judge.compare(question, (wrong, right), images=PHOTO)
    assert all(isinstance(order, Verdict) and order.formatted for order in first.orders)
    assert [order.choice for order in again.orders] == [order.choice for order in first.orders]
    swapped = [3 - order.choice for order in reversed(other.orders)]
    assert swapped == [order.choice for order in first.orders], "the same two prompts"
    assert first.usage.prompt_tokens > 2 * 200
    assert 0 < first.usage.completion_tokens <= 2 * 64


# --- what cannot be used


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"question": ""}, ArgumentError, "question=''; give a text"),
        ({"responses": "AB"}, ArgumentError, "responses: give exactly two"),
        ({"responses": ("a",)}, ArgumentError, "responses: give exactly two"),
        ({"responses": ("a", " ")}, ArgumentError, r"responses\[1\]=' '"),
        ({"images": ["nowhere.png"]}, ImageError, r"images\[0\]: .*nowhere\.png: no such image"),
        ({"video": PHOTO}, ImageError, "video: .*no such folder of video frames"),
    ],
)
def test_an_argument_that_cannot_be_used_is_named(arguments, error, message):
    with constant() as judge, pytest.raises(error, match=message):
        judge.compare(**{"question": QUESTION, "responses": RESPONSES} | arguments)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"judge": "oracles"}, "judge='oracles': give one of constant, hf, openai"),
        ({"judge": "hf"}, "model: judge=hf needs one"),
        ({"model": "nowhere/at/all", "judge": "hf"}, "^model=nowhere/at/all: no such folder"),
        ({"judge": "constant", "choice": 3}, "^choice=3: give 1 or 2"),
        ({"judge": "constant", "model": "x"}, "model: judge=constant has no such setting"),
        ({"judge": "constant", "temprature": 1.0}, "temprature: judge=constant has no such"),
        ({"judge": "constant", "temperature": "hot"}, "temperature='hot': give a number"),
        ({"judge": "constant", "temperature": -1.0}, r"temperature=-1\.0"),
    ],
)
def test_a_setting_that_cannot_be_used_is_named(arguments, message):
    with pytest.raises(ArgumentError, match=message):
        r1reward.Judge(**arguments)


# --- lives


def test_it_works_where_an_event_loop_runs_already_and_again():
    async def notebook():
        with constant() as judge:
            return [judge.compare(QUESTION, RESPONSES).orders for _ in range(3)]

    assert len(set(asyncio.run(notebook()))) == 1


def test_a_closed_judge_says_so_and_closes_once():
    judge = constant()
    judge.close()
    judge.close()
    with pytest.raises(ArgumentError, match="this judge is closed"):
        judge.compare(QUESTION, RESPONSES)
