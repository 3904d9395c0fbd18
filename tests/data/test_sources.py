"""One contract for every source in r1reward/data/sources, and what each makes of published rows."""

import base64
import inspect
import json
import pickle
from pkgutil import iter_modules

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate
from omegaconf import OmegaConf

from r1reward.config.compose import CONF, register_resolvers
from r1reward.core.errors import ConfigError
from r1reward.core.rows import cut, read_unit
from r1reward.data import sources
from r1reward.data.sources.base import Attachment, Preference, SourceError, attachments, ranked

NAMES = sorted(module.name for module in iter_modules(sources.__path__) if module.name != "base")
JPEG = b"\xff\xd8\xff\xe0" + bytes(range(100))
BASE64 = base64.b64encode(JPEG).decode()


def build(name, **values):
    """A source as conversion builds it, from its configuration."""
    register_resolvers()
    overrides = [f"source={name}", "out=o", "source.root=data"]
    with initialize_config_dir(str(CONF), version_base="1.3"):
        config = compose("convert", overrides=overrides)
    config.source.update(values)
    OmegaConf.resolve(config)
    return instantiate(config.source, _partial_=True, _convert_="all")()


def read(name, row, **values):
    return list(build(name, **values).read(row))


def refused(name, row, **values):
    with pytest.raises(SourceError) as raised:
        read(name, row, **values)
    return raised.value.reason, str(raised.value)


# --- the contract


def test_every_source_is_found_by_its_configuration():
    expected = {"plain", "r1_reward_rl", "rlaif_v", "vlfeedback", "povid", "wildvision_battle"}
    assert expected | {"mm_rlhf"} == set(NAMES)
    assert {path.stem for path in (CONF / "convert" / "source").glob("*.yaml")} == set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_a_source_says_what_it_is_and_has_its_settings(name):
    source = build(name)
    kind = type(source)
    assert source.name == name == kind.__module__.rpartition(".")[2]
    assert kind.__doc__ != kind.__mro__[1].__doc__
    assert "Hugging Face" in kind.__doc__ or name == "plain", "where it comes from"
    written = OmegaConf.load(CONF / "convert" / "source" / f"{name}.yaml")
    parameters = set(inspect.signature(kind).parameters)
    assert set(written) == parameters | {"_target_"}
    assert parameters >= {"root", "files", "media_root"}
    assert source.settings() == {"name": name, **{key: getattr(source, key) for key in parameters}}
    json.dumps(source.settings())
    assert pickle.loads(pickle.dumps(source)) == source, "processes share it"


@pytest.mark.parametrize("name", NAMES)
def test_an_unknown_schema_is_refused_with_the_fields_found(name):
    reason, message = refused(name, {"colour": 1, "shape": 2})
    assert reason == "schema"
    assert "(found: colour, shape)" in message
    for wrong in ("text", 7, None, [1]):
        assert refused(name, wrong)[0] == "schema"
    assert "found: nothing" in refused(name, {})[1]


@pytest.mark.parametrize("name", NAMES)
def test_files_are_those_of_the_patterns(name, tmp_path):
    source = build(name, root=str(tmp_path), files=["b*.jsonl", "*.jsonl", "sub/**/*.json"])
    assert source.paths() == []
    for path in ("a.jsonl", "b.jsonl", "c.parquet", "sub/x/d.json", "sub/e.json"):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).touch()
    (tmp_path / "folder.jsonl").mkdir()
    found = [path.relative_to(tmp_path).as_posix() for path in source.paths()]
    assert found == ["b.jsonl", "a.jsonl", "sub/e.json", "sub/x/d.json"]


# --- images


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, []),
        ("", []),
        ([], []),
        ("a/b.jpg", [("a/b.jpg", None)]),
        ("/9j/photos/cat.jpg", [("/9j/photos/cat.jpg", None)]),
        (["a.jpg", "b.jpg"], [("a.jpg", None), ("b.jpg", None)]),
        (JPEG, [(None, JPEG)]),
        ({"bytes": JPEG, "path": None}, [(None, JPEG)]),
        ({"bytes": JPEG, "path": "x.jpg"}, [("x.jpg", JPEG)]),
        ({"bytes": None, "path": "x.jpg"}, [("x.jpg", None)]),
        (BASE64, [(None, JPEG)]),
        (f"\n{BASE64[:50]}\r\n {BASE64[50:]}\n".lstrip(), [(None, JPEG)]),
        (f"data:image/jpeg;base64,{BASE64[:9]} \n{BASE64[9:]}", [(None, JPEG)]),
    ],
)
def test_an_image_is_a_path_or_the_file_itself(value, expected):
    assert attachments(value) == tuple(Attachment("image", *one) for one in expected)


@pytest.mark.parametrize(
    "value",
    [
        7,
        " ",
        {},
        {"path": 3},
        {"bytes": "text"},
        [None, 5],
        "data:text/html;base64,AAAA",
        "data:image/png;base64,###",
        "data:image/png,abc",
        "a\ud800.jpg",
    ],
)
def test_what_is_no_image_is_refused(value):
    with pytest.raises(SourceError) as raised:
        attachments(value)
    assert raised.value.reason == "media"


# --- pairs of ranked answers


@pytest.mark.parametrize(
    ("scores", "every", "extreme"),
    [  # position -> score; pairs worked out by hand
        ({0: 1, 1: 2}, {(1, 0)}, (1, 0)),
        ({0: 3, 1: 1, 2: 2}, {(0, 1), (0, 2), (2, 1)}, (0, 1)),
        ({0: 2, 1: 2, 2: 1, 3: 1}, {(0, 2), (0, 3), (1, 2), (1, 3)}, (0, 2)),
        ({1: 5, 3: 5, 4: 4.5}, {(1, 4), (3, 4)}, (1, 4)),
    ],
)
def test_answers_with_different_scores_are_pairs(scores, every, extreme):
    found = ranked(scores, "all")
    assert set(found) == every
    assert len(found) == len(every)
    assert ranked(scores, "best_worst") == [extreme]


@pytest.mark.parametrize("scores", [{}, {0: 1}, {0: 2, 1: 2, 2: 2}])
def test_answers_of_one_score_are_a_tie(scores):
    for pairing in ("all", "best_worst"):
        with pytest.raises(SourceError) as raised:
            ranked(scores, pairing)
        assert raised.value.reason == "tie"


@pytest.mark.parametrize("name", ["vlfeedback", "mm_rlhf"])
def test_an_unknown_pairing_is_refused(name):
    with pytest.raises(ConfigError, match=r"source\.pairs=some: take all or best_worst"):
        build(name, pairs="some")


# --- plain pairs

PLAIN = {"question": "Where?", "chosen": "Here.", "rejected": "There.", "image": "a.jpg"}


def test_plain_pairs():
    image = (Attachment("image", "a.jpg", None),)
    assert read("plain", PLAIN) == [Preference("Where?", "Here.", "There.", image, "plain", "")]
    named = read("plain", PLAIN | {"id": 12, "image": None}, label="mine")
    assert named == [Preference("Where?", "Here.", "There.", (), "mine", "12")]


@pytest.mark.parametrize("field", ["question", "chosen", "rejected"])
@pytest.mark.parametrize("value", [None, "", " \n", 5, ["a"]])
def test_a_text_that_is_none_is_named(field, value):
    reason, message = refused("plain", PLAIN | {field: value})
    assert reason == "text"
    assert message.startswith(f"{field}={value!r}")


def test_a_missing_image_field_is_not_taken_for_no_image():
    row = {key: value for key, value in PLAIN.items() if key != "image"}
    reason, message = refused("plain", row | {"images": ["a.jpg"]})
    assert (reason, "found: question, chosen, rejected, images" in message) == ("schema", True)


# --- R1-Reward-RL


def released(answer, image=BASE64):
    text = (
        "Compare.\n\n#### [Question]:\nWhere?\n\n#### [Response 1]:\nHere.\n\n"
        "#### [Response 2]:\nThere.\n\n#### **Output Format**:\n1/2"
    )
    content = [{"type": "text", "text": text}, {"type": "image", "image": "/mmu/x.jpg"}]
    message = json.dumps([{"role": "user", "content": content}])
    return {"question": "Where?", "message": message, "answer": [answer], "image": image}


def test_r1_reward_rl_names_the_better_response():
    image = (Attachment("image", None, JPEG),)
    [one] = read("r1_reward_rl", released("<answer>1</answer>"))
    assert one == Preference("Where?", "Here.", "There.", image, "r1_reward_rl", "")
    [two] = read("r1_reward_rl", released("<answer>2</answer>", "images/x.jpg"))
    assert (two.chosen, two.rejected) == ("There.", "Here.")
    assert two.media == (Attachment("image", "images/x.jpg", None),)


def test_r1_reward_rl_refuses_other_labels():
    reason, message = refused("r1_reward_rl", released("3"))
    assert reason == "text"
    assert "answer=['3']" in message


# --- RLAIF-V


def test_rlaif_v_from_parquet(tmp_path):
    row = {
        "ds_name": "RLAIF-V",
        "image": {"bytes": JPEG, "path": "000000000139.jpg"},
        "question": "Where?",
        "chosen": "Here.",
        "rejected": "There.",
        "origin_dataset": "COCO",
        "origin_split": '{"model": "llava15"}',
        "idx": "4",
        "image_path": "llava1.5_raw_images/00013/1.jpg",
    }
    pq.write_table(pa.Table.from_pylist([row]), tmp_path / "RLAIF-V-Dataset_000.parquet")
    [(_, found)] = read_unit(cut(tmp_path / "RLAIF-V-Dataset_000.parquet")[0])
    image = (Attachment("image", "000000000139.jpg", JPEG),)
    expected = Preference("Where?", "Here.", "There.", image, "rlaif_v", "4")
    assert read("rlaif_v", found) == [expected]


# --- VLFeedback


def completion(response, *ratings):
    aspects = ("Helpfulness", "Visual Faithfulness", "Ethical Considerations")
    rated = zip(aspects, ratings, strict=True)
    annotations = {aspect: {"Rating": rating, "Rationale": "so"} for aspect, rating in rated}
    return {"annotations": annotations, "model": "m", "response": response}


FEEDBACK = {
    "id": "svit-1",
    "prompt": "Where?",
    "models": ["a", "b", "c", "d"],
    "completions": [
        completion("three", "3", "4", "2"),
        completion("five", "5", "5", "5"),
        completion("four", "2", "5", "5"),
        completion("three again", "1", "5", "3"),
    ],
}


def test_vlfeedback_pairs_all_answers_with_different_means():
    found = read("vlfeedback", FEEDBACK, pairs="all")
    assert {(one.chosen, one.rejected) for one in found} == {
        ("five", "four"),
        ("five", "three"),
        ("five", "three again"),
        ("four", "three"),
        ("four", "three again"),
    }
    assert len(found) == 5
    assert {one.origin for one in found} >= {"svit-1:1>2", "svit-1:2>0"}
    assert all(one.media == (Attachment("image", "svit-1.jpg", None),) for one in found)
    assert {one.source for one in found} == {"vlfeedback"}


def test_vlfeedback_pairs_the_best_and_the_worst_by_default():
    [found] = read("vlfeedback", FEEDBACK)
    assert (found.chosen, found.rejected, found.origin) == ("five", "three", "svit-1:1>0")


def test_vlfeedback_in_parquet_is_the_same(tmp_path):
    """A sequence of structs is one struct of lists there, and the image is inside."""
    columns = {
        key: [one[key] for one in FEEDBACK["completions"]]
        for key in ("annotations", "model", "response")
    }
    row = FEEDBACK | {"completions": columns, "image": {"bytes": JPEG, "path": None}}
    for number, one in enumerate((row, FEEDBACK | {"image": {"bytes": JPEG, "path": None}})):
        path = tmp_path / f"{number}.parquet"
        pq.write_table(pa.Table.from_pylist([one]), path)
        [(_, found)] = read_unit(cut(path)[0])
        pairs = read("vlfeedback", found, pairs="all")
        expected = read("vlfeedback", FEEDBACK, pairs="all")
        assert [(one.chosen, one.rejected) for one in pairs] == [
            (one.chosen, one.rejected) for one in expected
        ]
        assert pairs[0].media == (Attachment("image", None, JPEG),)


def test_vlfeedback_answers_without_a_score_are_named_and_in_no_pair():
    others = [completion("?", "3", "N/A", "5"), completion(" ", "1", "1", "1")]
    row = FEEDBACK | {"completions": [*FEEDBACK["completions"][:2], *others]}
    *errors, pair = read("vlfeedback", row, pairs="all")
    assert [(one.reason, str(one)) for one in errors] == [
        ("score", "completion 2: Visual Faithfulness='N/A'; expected a number"),
        ("text", "completion 3: response=' '; expected a text that is not empty"),
    ]
    assert (pair.chosen, pair.rejected) == ("five", "three")


@pytest.mark.parametrize(
    "completions",
    [
        None,
        "text",
        [1],
        [{"response": "a"}],
        {"response": ["a"]},
        {"annotations": [], "response": 1},
    ],
)
def test_vlfeedback_of_another_shape_is_refused(completions):
    assert refused("vlfeedback", FEEDBACK | {"completions": completions})[0] == "schema"


@pytest.mark.parametrize("rating", ["nan", "inf", None, True, "4 of 5"])
def test_a_rating_is_a_number(rating):
    row = FEEDBACK | {"completions": [completion("a", rating, "1", "1")]}
    source = build("vlfeedback")
    found = source.read(row)
    assert next(found).reason == "score"
    with pytest.raises(SourceError):
        next(found)


# --- POVID


def turns(question, answer):
    return [{"from": "human", "value": question}, {"from": "gpt", "value": answer}]


HALLUCINATED = {
    "id": "COCO_train2014_000000353952",
    "image": "./data/coco/COCO_train2014_000000353952.jpg",
    "conversations": turns("<image>\nDescribe it.", "A horse."),
    "rejected_conversations": turns("<image>\nDescribe it.", "A horse and a carriage."),
}


def test_povid_from_its_list(tmp_path):
    (tmp_path / "POVID.json").write_text(json.dumps([HALLUCINATED, HALLUCINATED], indent=4))
    [unit] = cut(tmp_path / "POVID.json")
    for _, row in read_unit(unit):
        [found] = read("povid", row)
        image = (Attachment("image", "COCO_train2014_000000353952.jpg", None),)
        expected = ("Describe it.", "A horse.", "A horse and a carriage.", image, "povid")
        assert found == Preference(*expected, "COCO_train2014_000000353952")


@pytest.mark.parametrize(
    ("question", "plain"),
    [
        ("Describe it.\n<image>", "Describe it."),
        ("<image>Describe it.", "Describe it."),
        ("What does <image> mean in HTML?", "What does <image> mean in HTML?"),
    ],
)
def test_the_mark_of_the_image_is_not_part_of_the_question(question, plain):
    row = HALLUCINATED | {
        "conversations": turns(question, "a"),
        "rejected_conversations": turns(question, "b"),
    }
    assert read("povid", row)[0].question == plain


@pytest.mark.parametrize(
    ("rejected", "reason"),
    [
        (turns("Another question?", "b"), "turns"),
        (turns("<image>\nDescribe it.", "b") * 2, "turns"),
        (turns("<image>\nDescribe it.", "b")[:1], "turns"),
        (turns("<image>\nDescribe it.", ""), "text"),
        (None, "schema"),
        (["text"], "schema"),
    ],
)
def test_povid_dialogues_that_do_not_fit_are_refused(rejected, reason):
    assert refused("povid", HALLUCINATED | {"rejected_conversations": rejected})[0] == reason


# --- WildVision-Battle


def battle(winner, answers=("A says", "B says"), more=()):
    def said(answer):
        return [
            {"role": "user", "content": "Where?"},
            {"role": "assistant", "content": answer},
            *more,
        ]

    return {
        "question_id": "9f",
        "model_a": "m1",
        "model_b": "m2",
        "conversation_a": said(answers[0]),
        "conversation_b": said(answers[1]),
        "language": "English",
        "image": {"bytes": JPEG, "path": None},
        "turn": 1 + len(more) // 2,
        "anony": True,
        "winner": winner,
        "tstamp": 1,
        "judge": "arena_user",
    }


def test_wildvision_votes_say_which_model_is_better():
    image = (Attachment("image", None, JPEG),)
    expected = Preference("Where?", "A says", "B says", image, "wildvision_battle", "9f")
    assert read("wildvision_battle", battle("model_a")) == [expected]
    [other] = read("wildvision_battle", battle("model_b"))
    assert (other.chosen, other.rejected) == ("B says", "A says")


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (battle("tie"), "tie"),
        (battle("tie (bothbad)"), "tie"),
        (battle("left"), "label"),
        (battle(None), "label"),
        (battle("model_a", ("A says", None)), "text"),
        (battle("model_a", more=({"role": "user", "content": "And?"},)), "turns"),
        (battle("model_a") | {"conversation_b": "text"}, "schema"),
    ],
)
def test_battles_that_say_nothing_are_dropped_by_reason(row, reason):
    assert refused("wildvision_battle", row)[0] == reason


# --- MM-RLHF

RANKED = {
    "id": "31",
    "question": "Where?",
    "image": "long/31.png",
    "video": None,
    "models_output": ["second", "best", "also second", "last"],
    "faithfulness": [3, 5, 3, 1],
    "helpfulness": [3, 5, 3, 1],
    "ethical": [3, 3, 3, 3],
    "final_ranking": [2, 1, 2, 4],
}


def test_mm_rlhf_rankings_become_all_pairs_by_default():
    found = read("mm_rlhf", RANKED)
    assert {(one.chosen, one.rejected) for one in found} == {
        ("best", "second"),
        ("best", "also second"),
        ("best", "last"),
        ("second", "last"),
        ("also second", "last"),
    }
    assert len(found) == 5
    assert {one.source for one in found} == {"mm_rlhf_long"}
    assert {one.origin for one in found} >= {"31:1>0", "31:2>3"}
    assert all(one.media == (Attachment("image", "long/31.png", None),) for one in found)
    [extreme] = read("mm_rlhf", RANKED, pairs="best_worst")
    assert (extreme.chosen, extreme.rejected) == ("best", "last")


def test_mm_rlhf_pairs():
    row = {"prompt": "Where?", "chosen": "Here.", "rejected": "There.", "image": "./mcq/1.png"}
    [found] = read("mm_rlhf", row)
    image = (Attachment("image", "./mcq/1.png", None),)
    assert found == Preference("Where?", "Here.", "There.", image, "mm_rlhf_mcq", "")


def test_mm_rlhf_takes_the_subsets_it_is_asked_for():
    clip = RANKED | {"image": None, "video": "video/clip"}
    assert refused("mm_rlhf", clip) == ("subset", "video/clip: of video, not asked for")
    found = read("mm_rlhf", clip, subsets=["video"])
    assert found[0].media == (Attachment("video", "video/clip", None),)
    assert found[0].source == "mm_rlhf_video"
    assert refused("mm_rlhf", RANKED, subsets=["video"])[0] == "subset"
    assert refused("mm_rlhf", RANKED | {"image": "elsewhere/1.png"})[0] == "subset"
    with pytest.raises(ConfigError, match="films is none of long"):
        build("mm_rlhf", subsets=["long", "films"])


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"final_ranking": [1, 1, 1, 1]}, "tie"),
        ({"final_ranking": [1, 2]}, "schema"),
        ({"final_ranking": None}, "schema"),
        ({"models_output": "text"}, "schema"),
        ({"image": None}, "media"),
        ({"question": ""}, "text"),
    ],
)
def test_rankings_that_say_nothing_are_dropped_by_reason(fields, reason):
    assert refused("mm_rlhf", RANKED | fields)[0] == reason


def test_an_answer_without_rank_is_named_and_in_no_pair():
    *errors, pair = read("mm_rlhf", RANKED | {"final_ranking": [None, 1, "x", 2]})
    assert [one.reason for one in errors] == ["score", "score"]
    assert (pair.chosen, pair.rejected) == ("best", "last")
