"""Settings checked by their types, for Python callers as for the command line."""

from typing import Any, Literal

import pytest
from jsonargparse import ArgumentParser
from jsonargparse.typing import PositiveFloat, PositiveInt

from nsmc_lightning.errors import UserError
from nsmc_lightning.signature import Factor, NumClasses, Probability, checked_settings


class Settings:
    @checked_settings("model")
    def __init__(
        self,
        name: str,
        lr: PositiveFloat = 0.1,
        steps: PositiveInt | None = None,
        dropout: Probability = 0.0,
        decay: Factor = 1.0,
        num_labels: NumClasses = 2,
        pooling: Literal["cls", "mean"] = "cls",
        chosen: Literal["error", "skip"] | None = None,
        weights: list[float] | Literal["balanced"] | None = None,
    ) -> None:
        self.received = dict(locals(), self=None)


@pytest.mark.parametrize(
    "wrong",
    [
        {"lr": 0},
        {"lr": float("nan")},
        {"lr": "fast"},
        {"lr": True},
        {"steps": 0},
        {"steps": 2.5},
        {"dropout": 1},
        {"dropout": -0.1},
        {"decay": 0},
        {"num_labels": 1},
        {"pooling": "max"},
        {"chosen": "maybe"},
    ],
    ids=str,
)
def test_a_value_that_does_not_fit_its_type_is_refused_in_python_and_by_the_parser(wrong: dict[str, Any]) -> None:
    key, value = next(iter(wrong.items()))
    with pytest.raises(UserError, match=f"^model.{key} "):
        Settings("a", **wrong)
    parser = ArgumentParser(exit_on_error=False)
    parser.add_class_arguments(Settings, "model")
    with pytest.raises(Exception, match=f"model.{key}"):
        parser.parse_object({"model": {"name": "a", key: value}})


def test_the_constructor_receives_plain_numbers_from_the_parser_too() -> None:
    parser = ArgumentParser(exit_on_error=False)
    parser.add_class_arguments(Settings, "model")
    settings = {"name": "a", "lr": 1, "steps": 3, "dropout": 0.5, "num_labels": 3}
    received = parser.instantiate(parser.parse_object({"model": settings})).model.received
    assert {key: type(value) for key, value in received.items()} == {
        "self": type(None),
        "name": str,
        "lr": float,
        "steps": int,
        "dropout": float,
        "decay": float,
        "num_labels": int,
        "pooling": str,
        "chosen": type(None),
        "weights": type(None),
    }


def test_no_value_is_refused_where_the_type_has_none() -> None:
    with pytest.raises(UserError, match=r"^model\.lr "):  # the parser lets null pass for any type
        Settings("a", lr=None)  # type: ignore[arg-type]


def test_values_by_position_and_defaults_are_received_as_given() -> None:
    received = Settings("a", 0.5, None).received
    assert (received["name"], received["lr"], received["steps"], received["pooling"]) == ("a", 0.5, None, "cls")
