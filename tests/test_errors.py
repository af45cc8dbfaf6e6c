"""What a user sees of an error."""

import pytest

from nsmc_lightning.errors import UserError, shown_to_user


def test_a_user_s_mistake_is_short_and_ends_with_code_2(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped, shown_to_user(debug=False):
        raise UserError("data.x is 3: give 4.")
    assert stopped.value.code == 2
    assert capsys.readouterr().err == "error: data.x is 3: give 4.\n"


def test_a_program_s_error_keeps_its_traceback() -> None:
    with pytest.raises(ZeroDivisionError), shown_to_user(debug=False):
        raise ZeroDivisionError
