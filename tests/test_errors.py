"""What a user sees of an error."""

import pytest

from nsmc_lightning.errors import condense, shown_to_user
from nsmc_lightning.types import UserError


def test_a_user_s_mistake_is_short_and_ends_with_code_2(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped, shown_to_user(debug=False):
        raise UserError("data.x is 3: give 4.")
    assert stopped.value.code == 2
    assert capsys.readouterr().err == "error: data.x is 3: give 4.\n"


def test_a_program_s_error_keeps_its_traceback() -> None:
    with pytest.raises(ZeroDivisionError), shown_to_user(debug=False):
        raise ZeroDivisionError


UNION = 'Parser key "trainer.{}":\n  Does not validate against any of the Union subtypes\n  Subtypes: [{}]\n  Errors:\n'


@pytest.mark.parametrize(
    ("message", "said"),
    [
        (
            UNION.format("max_epochs", "<class 'int'>, <class 'NoneType'>")
            + "    - Expected a <class 'int'>\n    - Expected a <class 'NoneType'>\n  Given value: many",
            "trainer.max_epochs many: give a whole number.",
        ),
        (
            UNION.format("precision", "typing.Literal[64, 16], typing.Literal['16-true', '16'], <class 'NoneType'>")
            + "    - Expected a typing.Literal[64, 16]\n  Given value: 8",
            "trainer.precision 8: give one of 64, 16, 16-true.",
        ),
        ("Parser key \"model.lr\":\n  Expected a <class 'float'>. Got value: abc", "model.lr abc: give a number."),
        ("unrecognized arguments: word", "word: no key takes it; every setting is given as --key VALUE."),
        (
            UNION.format("x", "<class 'int'>, own.Own") + "    - Expected a <class 'int'>\n  Given value: y",
            'Parser key "trainer.x": Expected a int Given value: y',
        ),
    ],
)
def test_the_parser_s_message_is_condensed_to_key_and_way_out(message: str, said: str) -> None:
    assert condense(message) == said


def test_a_package_that_lightning_misses_is_the_user_s_to_install(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped, shown_to_user(debug=False):
        raise ModuleNotFoundError("Requirement 'psutil' not met. HINT: Try running `pip install -U 'psutil'`")
    assert stopped.value.code == 2
    with pytest.raises(ModuleNotFoundError), shown_to_user(debug=False):
        raise ModuleNotFoundError("No module named 'own'")
