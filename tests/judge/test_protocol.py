"""Orders, votes and presets: what a protocol asks, and what it refuses."""

import collections
import itertools
from dataclasses import replace

import pytest
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate
from hypothesis import given
from hypothesis import strategies as st

from r1reward.config.compose import REPO, register_resolvers
from r1reward.core.pair import Preference
from r1reward.judge.item import Item
from r1reward.judge.protocol import Protocol, ProtocolError

CONF = REPO / "conf"
BENCHMARKS = sorted(path.stem for path in (CONF / "benchmark").glob("*.yaml"))
PRESETS = sorted(path.stem for path in (CONF / "protocol").glob("*.yaml"))
PLAIN = Protocol(
    name="test",
    order="both",
    parse="wrong",
    seed=0,
    votes=1,
    temperature=0.7,
    top_p=1.0,
    repetition_penalty=1.0,
    max_tokens=10,
)


def item(index=0, label=2) -> Item:
    record = Preference(f"Question {index}?", ("left", "right"), (), label=label, source="bench")
    return Item.of(record, index=index, id="id", groups={}, subgroup="", cluster="")


def composed(*overrides):
    """The configuration of an evaluation, without everything that is not its protocol."""
    register_resolvers()
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return compose(overrides=[f"+{override}" for override in overrides])


# --- presets

# name, order, parse, seed, votes, temperature, top_p, repetition_penalty, max_tokens
DEFAULT = ("default", "both", "wrong", 0, 1, 0.0, 1.0, 1.0, 2048)
RELEASED = ("released", "chosen_first", "wrong", 0, 1, 0.0, 1.0, 1.05, 4096)
GOLDEN = {
    ("vlrewardbench", "official"): ("official", "random", "exclude", 1234, 9, 0.2, 0.2, 1.0, 2048),
    ("mmrlhf_rewardbench", "official"): ("official", "both", "wrong", 0, 1, 0.0, 1.0, 1.0, 4096),
    ("multimodal_rewardbench", "official"): (
        *("official", "stored", "coin", 123),
        *(1, 1.0, 1.0, 1.0, 1024),
    ),
    ("photos", "official"): ("official", "both", "wrong", 0, 1, 0.0, 1.0, 1.0, 1024),
    **{(name, "default"): DEFAULT for name in BENCHMARKS},
    **{(name, "released"): RELEASED for name in BENCHMARKS},
}


@pytest.mark.parametrize(("benchmark", "preset"), itertools.product(BENCHMARKS, PRESETS))
def test_golden_presets(benchmark, preset):
    config = composed(f"benchmark={benchmark}", f"protocol={preset}")
    assert instantiate(config.protocol) == Protocol(*GOLDEN[benchmark, preset])


def test_the_command_line_wins_over_a_preset():
    config = composed(
        "benchmark=vlrewardbench", "protocol=official", "+protocol.votes=3", "+protocol.seed=7"
    )
    found = instantiate(config.protocol)
    assert (found.votes, found.seed, found.order) == (3, 7, "random")


def test_only_the_parity_preset_warns():
    warnings = {preset: Protocol(*GOLDEN["photos", preset]).warnings() for preset in PRESETS}
    assert {preset for preset, found in warnings.items() if found} == {"released"}
    assert "always says 1 scores 100%" in warnings["released"][0]


# --- orders


def shown(protocol, one):
    """Votes by the position of the better response, read off the prompts."""
    found = collections.Counter()
    for call in protocol.calls(one):
        position = call.item.responses.index(one.responses[one.label - 1])
        assert call.item.label == position + 1
        found[position + 1] += call.votes
    return found


@pytest.mark.parametrize("label", [1, 2])
@pytest.mark.parametrize(
    ("order", "expected"),
    [
        ("both", {1: {1: 3, 2: 3}, 2: {1: 3, 2: 3}}),
        ("stored", {1: {1: 3}, 2: {2: 3}}),
        ("chosen_first", {1: {1: 3}, 2: {1: 3}}),
    ],
)
def test_fixed_orders(order, expected, label):
    assert shown(replace(PLAIN, order=order, votes=3), item(label=label)) == expected[label]


def test_the_prompts_of_an_item_differ_in_order_alone():
    one, two = PLAIN.calls(item())
    assert one.item.responses == two.item.responses[::-1]
    assert replace(one.item, responses=("", ""), label=1) == replace(
        two.item, responses=("", ""), label=1
    )


@given(st.integers(0, 10**6), st.integers(0, 10**6), st.integers(1, 20))
def test_random_orders_belong_to_the_item_not_to_its_stored_order(seed, index, votes):
    protocol = replace(PLAIN, order="random", seed=seed, votes=votes)
    first, second = item(index), item(index).shown(1)
    assert shown(protocol, first) == shown(protocol, second)
    assert sum(shown(protocol, first).values()) == votes
    fewer = replace(protocol, votes=max(1, votes - 1))
    assert shown(fewer, first) <= shown(protocol, first), "more votes keep the earlier orders"


def test_random_orders_are_even_and_change_with_the_seed():
    items = [item(index) for index in range(2000)]
    drawn = {}
    for seed in (0, 1):
        protocol = replace(PLAIN, order="random", seed=seed)
        drawn[seed] = [next(iter(protocol.plan(one))) for one in items]
        assert abs(drawn[seed].count(1) - 1000) < 3 * (2000 * 0.25) ** 0.5
    agree = sum(one == two for one, two in zip(*drawn.values(), strict=True))
    assert abs(agree - 1000) < 3 * (2000 * 0.25) ** 0.5


def test_random_orders_are_drawn_for_every_vote():
    protocol = replace(PLAIN, order="random", votes=9)
    sizes = collections.Counter(
        protocol.plan(item(index)).get(1, 0) for index in range(1000)
    )  # binomial, 9 draws
    assert abs(sizes[4] + sizes[5] - 1000 * 252 / 512) < 3 * (1000 * 0.25) ** 0.5
    assert sizes[0] + sizes[9] < 15


# --- what cannot be


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"order": "forwards"}, r"protocol\.order=forwards: give one of both, random, stored"),
        ({"parse": "guess"}, r"protocol\.parse=guess: give one of wrong, exclude, coin, half"),
        ({"votes": 0}, r"protocol\.votes=0"),
        ({"max_tokens": 0}, "max_tokens=0"),
        ({"temperature": -0.1}, r"protocol\.temperature=-0\.1"),
        ({"temperature": float("nan")}, "temperature=nan"),
        ({"top_p": 0.0}, "top_p=0"),
        ({"top_p": 1.1}, r"top_p=1\.1"),
        ({"repetition_penalty": 0.0}, "repetition_penalty"),
        ({"votes": 15, "temperature": 0.0}, "15 at temperature 0 .* equal answers; set"),
    ],
)
def test_contradictions_are_refused(change, message):
    with pytest.raises(ProtocolError, match=message):
        replace(PLAIN, **change)
