"""Settings checked by the types in a constructor's signature, for Python callers as for the command line."""

import inspect
from collections.abc import Callable
from functools import wraps
from types import UnionType
from typing import TYPE_CHECKING, Any, Literal, ParamSpec, TypeAlias, Union, get_args, get_origin, get_type_hints

from jsonargparse.typing import restricted_number_type

from nsmc_lightning.errors import UserError, wanted

_P = ParamSpec("_P")

if TYPE_CHECKING:
    Probability: TypeAlias = float
    Factor: TypeAlias = float
    NumClasses: TypeAlias = int
else:
    Probability = restricted_number_type(
        "Probability", float, [(">=", 0), ("<", 1)], docstring="at least 0 and below 1"
    )
    Factor = restricted_number_type("Factor", float, [(">", 0), ("<=", 1)], docstring="above 0 and at most 1")
    NumClasses = restricted_number_type("NumClasses", int, (">=", 2), docstring="2 or more")


def checked_settings(group: str) -> Callable[[Callable[_P, None]], Callable[_P, None]]:
    """Decorator of ``__init__``: hold Python callers to the types that the command line's parser holds users to.

    Checks ``Literal`` and jsonargparse's restricted numbers. The parser passes a restricted number as an object of its
    own class, which ``torch.load(weights_only=True)`` refuses in a checkpoint: the constructor receives plain numbers.

    Args:
        group: of keys on the command line, ``model`` or ``data``, to name a setting by.

    Raises:
        UserError: a value does not fit its type.
    """

    def decorate(init: Callable[_P, None]) -> Callable[_P, None]:
        signature = inspect.signature(init)

        @wraps(init)
        def checked(*args: _P.args, **kwargs: _P.kwargs) -> None:
            bound = signature.bind(*args, **kwargs)
            hints = get_type_hints(init)
            for name, value in bound.arguments.items():
                if name in hints:
                    bound.arguments[name] = _plain(f"{group}.{name}", value, hints[name])
            init(*bound.args, **bound.kwargs)

        return checked

    return decorate


def _plain(key: str, value: Any, hint: Any) -> Any:
    """``value`` as a plain number where ``hint`` is a restricted one, otherwise as it is."""
    kinds = get_args(hint) if get_origin(hint) in (Union, UnionType) else (hint,)
    if value is None and type(None) in kinds:
        return None
    for kind in kinds:
        alone = {*kinds} <= {kind, type(None)}  # otherwise another kind may take the value
        if get_origin(kind) is Literal and alone and value not in get_args(kind):
            raise UserError(f"{key} {value!r}: give one of {', '.join(map(str, get_args(kind)))}.")
        # jsonargparse puts all its restricted numbers, its own and those made by it, in one module.
        if isinstance(kind, type) and kind.__module__ == Probability.__module__:
            base = int if issubclass(kind, int) else float
            try:
                return base(kind(value))
            except (TypeError, ValueError) as error:
                raise UserError(f"{key} {value!r}: give {wanted(str(error))}.") from error
    return value
