"""Secrets are refused where they would be written down, and no message repeats them."""

import pytest
from omegaconf import OmegaConf

from r1reward.config.compose import compose_config
from r1reward.config.secrets import HIDDEN, check_secrets, is_secret, shown
from r1reward.core.errors import ConfigError

VALUE = "tell-nobody-about-it"


@pytest.mark.parametrize(
    "name",
    [
        *("WANDB_API_KEY", "OPENAI_API_KEY", "HF_TOKEN", "AWS_SECRET_ACCESS_KEY", "judge.api_key"),
        *("judge.apikey", "hub.access_token", "db.password", "db.passwd", "client_secret"),
    ],
)
def test_names_of_secrets(name) -> None:
    assert is_secret(name)
    with pytest.raises(ConfigError, match=f"^{name} holds a secret") as caught:
        check_secrets(OmegaConf.create({name: VALUE}))
    assert VALUE not in str(caught.value)
    assert shown(f"+x.{name}={VALUE}") == f"+x.{name}={HIDDEN}"


@pytest.mark.parametrize("name", ["key_env", "data.max_tokens", "tokenizer", "keyboard", "lr"])
def test_names_of_other_things(name) -> None:
    assert not is_secret(name)
    assert shown(f"{name}=1") == f"{name}=1"


@pytest.mark.parametrize(
    "value", [f"--key {VALUE}", ["a", {"b": [f"x{VALUE}y"]}], f"http://host/?key={VALUE}"]
)
def test_the_value_of_a_secret_is_found_under_any_name(monkeypatch, value) -> None:
    monkeypatch.setenv("SOME_API_KEY", VALUE)
    with pytest.raises(ConfigError, match=r"^a\.b holds the value of \$SOME_API_KEY") as caught:
        check_secrets(OmegaConf.create({"a": {"b": value, "c": 1}}))
    assert VALUE not in str(caught.value)


@pytest.mark.parametrize(
    "address",
    [
        "http://me:tell-nobody@127.0.0.1:8000/v1",
        "http://127.0.0.1:8000/v1?version=1&api_key=tell-nobody",
        "https://host/v1?access_token=tell-nobody#x",
    ],
)
def test_an_address_with_a_password_or_key_is_refused(address) -> None:
    with pytest.raises(ConfigError, match=r"^base_url holds a password") as caught:
        check_secrets(OmegaConf.create({"base_url": ["http://127.0.0.1:8000/v1", address]}))
    assert "tell-nobody" not in str(caught.value)
    check_secrets(OmegaConf.create({"base_url": ["http://me@host:8000/v1", "http://[broken/"]}))
    check_secrets(OmegaConf.create({"url": "https://host/file?download=true&max_tokens=3"}))


@pytest.mark.parametrize("name", ["train", "sft"])
def test_our_own_configurations_hold_none(monkeypatch, name) -> None:
    monkeypatch.setenv("SOME_TOKEN", "rule")  # too short to be one
    check_secrets(compose_config(config_name=name))
