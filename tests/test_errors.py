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


def test_the_parser_s_message_is_condensed_to_key_and_reason() -> None:
    message = (
        'Parser key "trainer.max_epochs":\n  Does not validate against any of the Union subtypes\n  Errors:\n'
        "    - Expected a <class 'int'>\n    - Expected a <class 'NoneType'>\n  Given value: many"
    )
    assert condense(message) == 'Parser key "trainer.max_epochs": Expected a int Given value: many'
