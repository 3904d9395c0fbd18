"""Checks of one row: its texts, its columns, its images."""

import json
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.broken import record

from r1reward.core.pair import Preference
from r1reward.core.rows import Unit
from r1reward.data import media_facts as pictures
from r1reward.data.validate.rows import Rules, answers, check_unit, control, language_of
from r1reward.data.validate.run import parts_of


def test_control_tokens_are_those_of_the_tokenizer(tokenizer):
    tokens = set(tokenizer.get_added_vocab())
    assert len(tokens) > 10
    for token in sorted(tokens):
        [(kind, detail)] = control(
            Preference("Q?", ("A.", f"so {token}."), (), label=1, source="t")
        )
        assert kind == "control"
        assert token in detail
    assert not [
        *control(Preference("a <|b|> <|im_start|", ("<im_end>", "|>"), (), label=1, source="t"))
    ]


def test_a_file_is_decoded_once_however_many_rows_show_it(data, monkeypatch):
    path = data(*(record(number) for number in range(300)))
    opened = []
    real = pictures.open_image

    def counting(uri, root):
        opened.append(uri)
        return real(uri, root)

    monkeypatch.setattr(pictures, "open_image", counting)
    [part], _, _ = parts_of([path], None)
    report = check_unit(part.unit, part.root, Rules())
    assert (report.rows, report.media, len(opened)) == (300, 300, 1)


@pytest.mark.parametrize(
    ("first", "second", "same"),
    [
        ("Yes.", "Yes.", True), ("Yes.", "\n Yes. ", True), ("Yes.", "yes.", False),
        ("x²", "x2", False), ("Å", "\u212b", True), ("a b", "a  b", False),
        *((unicodedata.normalize("NFC", t), unicodedata.normalize("NFD", t), True)
          for t in ("é", "한국", "Ελλάς ή")),
    ],
)  # fmt: skip
def test_answers_that_are_the_same(first, second, same):
    found = [
        kind for kind, _ in answers(Preference("Q?", (first, second), (), label=1, source="t"))
    ]
    assert found == ["answers"] * same


def test_questions_in_other_languages_are_named(run, data):
    texts = [
        "What is the name of the animal in this picture?",
        "Wie viele Menschen sind auf dem Bild zu sehen?",
        "Combien de personnes peut-on voir sur cette image ?",
        "2 + 2 = ?",
    ]
    path = data(*(record(n, question=text) for n, text in enumerate(texts)))
    assert run(path)[1] == []
    status, lines = run(path, "languages=[en,fr]")
    assert status == 0
    assert [line.split(" in ")[0] for line in lines] == [
        f"warning {path}:2: language: the question is"
    ]
    assert "'de'" in lines[0]
    assert [language_of(text) for text in texts] == ["en", "de", "fr", "und"]


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=6,
)
PARTS = ("question", "responses", "label", "media", "source", "attempts", "solved", "message")


@given(st.sampled_from([*PARTS, "origin", "answer", "image", "kind", "uri", "bytes"]), ANYTHING)
def test_no_row_is_too_strange(tmp_path_factory, name, value):
    row = record(1, media=[{"kind": "image", "uri": "nowhere.png"}])
    (row["media"][0] if name in ("kind", "uri", "bytes") else row)[name] = value
    path = tmp_path_factory.mktemp("strange") / "rows.jsonl"
    path.write_text(json.dumps(row))
    findings = check_unit(Unit(path, 1, 0, -1), str(path.parent), Rules()).findings
    assert all(finding.where == f"{path}:1" for finding in findings)
    assert any(finding.is_error for finding in findings) or row["media"] in ([], None)


@pytest.mark.parametrize("name", ["attempts", "solved", "origin", "reasoning"])
def test_the_columns_of_a_data_set_are_checked(run, data, name):
    path = data(record(1, **{name: 0.5}))
    status, lines = run(path)
    assert status == 1
    assert lines[0].startswith(f"bad {path}:1: schema: ")
    assert f"{name}=0.5" in lines[0]
