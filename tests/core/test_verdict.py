"""What a response decided: a table by hand, hostile texts, and properties."""

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from r1reward.core.verdict import ParseFailure, Verdict, parse_verdict

FORMATTED = "<think>Response 2 counts right.</think><answer>2</answer>"

# text -> choice, reasoning, whether the format is the asked one
READABLE = [
    (FORMATTED, 2, "Response 2 counts right.", True),
    ("<think>a</think><answer>1</answer>", 1, "a", True),
    ("<think>a</think>\n\n<answer>1</answer>", 1, "a", True),
    (" \n<think>\n a\nb </think> <answer> 1\n</answer>\n", 1, "a\nb", True),
    (
        "<think>1 < 2 > 1 & <b>bold</b> {x}</think><answer>1</answer>",
        1,
        "1 < 2 > 1 & <b>bold</b> {x}",
        True,
    ),
    ("<think></think><answer>2</answer>", 2, "", True),
    ("<think>a\x00\U0001f600\ud800</think><answer>2</answer>", 2, "a\x00\U0001f600\ud800", True),
    # a choice without the format
    ("<answer>2</answer>", 2, "", False),
    ("Response 2 is better. <answer>2</answer>", 2, "Response 2 is better.", False),
    ("So: <think>a</think><answer>2</answer>", 2, "So: a", False),
    ("<think>a</think><answer>2</answer> Done.", 2, "a", False),
    ("<think>a</think> so <answer>2</answer>", 2, "a so", False),
    ("<think>a<answer>2</answer></think>", 2, "a", False),
    ("<think>a<answer>2</answer>", 2, "a", False),
    ("a</think><answer>2</answer>", 2, "a", False),
    ("<think>a</think><think>b</think><answer>2</answer>", 2, "ab", False),
    ("<think><think>a</think></think><answer>2</answer>", 2, "a", False),
    ("<think>a</think></think><answer>2</answer>", 2, "a", False),
    ("<answer>2</answer><think>a</think>", 2, "", False),
    ("<think>a</think><answer>2</answer></answer>", 2, "a", False),
    ("</answer><think>a</think><answer>2</answer>", 2, "</answer>a", False),
    ("<THINK>a</THINK><answer>2</answer>", 2, "<THINK>a</THINK>", False),
    ("<think>a</think><answer>2</answer><answer>1", 2, "a", False),  # the second never closes
]
UNREADABLE = [
    ("", "empty"),
    (" \n\t\u2003", "empty"),
    ("Response 1 is better.", "no_answer"),
    ("<think>Response 1 is better, answer 1.</think>", "no_answer"),
    ("<think>a</think><answer>1", "no_answer"),
    ("<think>a</think>1</answer>", "no_answer"),
    ("</answer>1<answer>", "no_answer"),
    ("<answer>1</ANSWER>", "no_answer"),
    ("<Answer>1</Answer>", "no_answer"),
    ("< answer >1</ answer >", "no_answer"),
    ("<think>a</think><answer></answer>", "not_a_choice"),
    ("<think>a</think><answer> </answer>", "not_a_choice"),
    ("<think>a</think><answer>1/2</answer>", "not_a_choice"),
    ("<think>a</think><answer>12</answer>", "not_a_choice"),
    ("<think>a</think><answer>21</answer>", "not_a_choice"),
    ("<think>a</think><answer>1 2</answer>", "not_a_choice"),
    ("<think>a</think><answer>0</answer>", "not_a_choice"),
    ("<think>a</think><answer>3</answer>", "not_a_choice"),
    ("<think>a</think><answer>-1</answer>", "not_a_choice"),
    ("<think>a</think><answer>1.0</answer>", "not_a_choice"),
    ("<think>a</think><answer>01</answer>", "not_a_choice"),
    ("<think>a</think><answer>１</answer>", "not_a_choice"),  # full width
    ("<think>a</think><answer>²</answer>", "not_a_choice"),
    ("<think>a</think><answer>١</answer>", "not_a_choice"),  # Arabic-Indic
    ("<think>a</think><answer>one</answer>", "not_a_choice"),
    ("<think>a</think><answer>Response 1</answer>", "not_a_choice"),
    ("<think>a</think><answer>\\boxed{1}</answer>", "not_a_choice"),
    ("<think>a</think><answer>1\x00</answer>", "not_a_choice"),
    ("<think>a</think><answer>1\u200b</answer>", "not_a_choice"),  # zero-width space
    ("<think>a</think><answer><answer>1</answer></answer>", "not_a_choice"),
    ("<think>a</think><answer><think>1</think></answer>", "not_a_choice"),
    ("<answer>1</answer><answer>2</answer>", "several_answers"),
    ("<think>a</think><answer>1</answer><answer>1</answer>", "several_answers"),
    ("<think>I write <answer>1/2</answer> now.</think><answer>1</answer>", "several_answers"),
    ("<answer>x</answer>" * 100, "several_answers"),
    ("<answer>1</answer></answer><answer></answer>", "several_answers"),
]


@pytest.mark.parametrize(("text", "choice", "reasoning", "formatted"), READABLE)
def test_readable(text, choice, reasoning, formatted):
    assert parse_verdict(text) == Verdict(choice, reasoning, formatted)


@pytest.mark.parametrize(("text", "reason"), UNREADABLE)
def test_unreadable(text, reason):
    assert parse_verdict(text) == ParseFailure(reason, text)


@pytest.mark.parametrize("end", range(len(FORMATTED)))
def test_a_response_cut_at_any_point_decides_nothing(end):
    expected = "no_answer" if end else "empty"
    assert parse_verdict(FORMATTED[:end]) == ParseFailure(expected, FORMATTED[:end])


@pytest.mark.timeout(120)
@pytest.mark.parametrize(
    "unit",
    [
        *("<answer>", "</answer>", "<think>", "</think>", " ", "\n", "1", "x", "<", "<answer"),
        *("</think><answer>", "</think> ", "<think></think>", "<answer></answer>", "１"),
    ],
)
@pytest.mark.parametrize(
    "frame", ["{}", "<think>{}", "<think>{}</think><answer>1</answer>", "<answer>{}1{}</answer>{}x"]
)
def test_huge_texts_take_linear_time(frame, unit):
    """Two megabytes take some hundredths of a second; in quadratic time, a quarter of an hour."""
    parse_verdict(frame.replace("{}", unit * (2_000_000 // len(unit))))


PIECES = ["<think>", "</think>", "<answer>", "</answer>", "1", "2", "12", " ", "\n", "<", ">", "１"]
TEXTS = st.lists(st.sampled_from(PIECES) | st.text(max_size=3), max_size=14).map("".join)
SPACE = st.text("\n\t ", max_size=3)


@given(st.text() | TEXTS)
@example(FORMATTED)
def test_any_text_gives_a_verdict_or_a_counted_failure(text):
    parsed = parse_verdict(text)
    if isinstance(parsed, ParseFailure):
        assert parsed.reason in {"empty", "no_answer", "not_a_choice", "several_answers"}
        assert parsed.text == text
    else:
        assert parsed.choice in (1, 2)
        assert parsed.reasoning == parsed.reasoning.strip()


@given(TEXTS)
@example("</answer><answer>1</answer><answer>")
def test_the_answers_are_those_that_an_expression_finds(text):
    """The plain, quadratic way to find them, on short texts."""
    found = re.findall(r"<answer>(.*?)</answer>", text, re.DOTALL)
    parsed = parse_verdict(text)
    if len(found) == 1 and found[0].strip() in ("1", "2"):
        assert parsed.choice == int(found[0])
    else:
        several = "several_answers" if found else ("no_answer" if text.strip() else "empty")
        assert parsed.reason == ("not_a_choice" if len(found) == 1 else several)


@given(TEXTS)
@example(FORMATTED)
@example(" <think>\na </think>\n<answer> 1 </answer> ")
def test_a_formatted_response_can_be_written_again_from_its_verdict(text):
    parsed = parse_verdict(text)
    if isinstance(parsed, Verdict) and parsed.formatted:
        again = f"<think>{parsed.reasoning}</think><answer>{parsed.choice}</answer>"
        assert parse_verdict(again) == parsed
        assert "".join(again.split()) == "".join(text.split())


@given(SPACE, st.text(), SPACE, SPACE, st.sampled_from([1, 2]), SPACE, SPACE)
def test_every_response_of_the_asked_form_is_formatted(a, reasoning, b, c, choice, d, e):
    text = f"{a}<think>{reasoning}</think>{b}<answer>{c}{choice}{d}</answer>{e}"
    assert parse_verdict(text) == Verdict(choice, reasoning.strip(), formatted=True)
