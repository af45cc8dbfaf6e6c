"""The parser's and Lightning's refusals in a user's words."""

import pytest

from nsmc_lightning.commands.refusals import condense, refusals_explained
from nsmc_lightning.errors import UserError

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


def test_a_package_that_lightning_misses_is_the_user_s_to_install() -> None:
    with pytest.raises(UserError, match="pip install -U 'psutil'"), refusals_explained():
        raise ModuleNotFoundError("Requirement 'psutil' not met. HINT: Try running `pip install -U 'psutil'`")
    with pytest.raises(ModuleNotFoundError), refusals_explained():
        raise ModuleNotFoundError("No module named 'own'")
