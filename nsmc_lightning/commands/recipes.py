"""The recipes and corpora that come with the package, found by the names that they have in the repository."""

import logging
import os
from pathlib import Path, PurePath

import yaml
from lightning.pytorch.utilities.rank_zero import rank_zero_only

from nsmc_lightning.errors import UserError

log = logging.getLogger(__name__)

_PACKAGE = Path(__file__).parents[1]
# Installed from a wheel they lie within the package; in a clone, also an editable one, beside it.
SHIPPED = next((root for root in (_PACKAGE, _PACKAGE.parent) if (root / "configs").is_dir()), _PACKAGE) / "configs"


def recipe_file(option: str, value: str, shipped: Path = SHIPPED) -> str:
    """The file that ``option`` names: the user's own, else the shipped one of that name, which a line then says.

    Args:
        option: ``--config`` or ``--data.corpus``.
        value: what was given with it; settings spelt out, in place of a file, are returned as they are.
        shipped: the folder that stands for ``configs``.

    Raises:
        UserError: there is no such file, neither here nor shipped.
    """
    if not _names_file(value) or os.path.exists(value):
        return value
    files = {f"configs/{path.relative_to(shipped).as_posix()}": path for path in shipped.rglob("*.yaml")}
    found = files.get(PurePath(value).as_posix())
    if found is None:
        folder = "configs" if option == "--config" else "configs/corpus"
        known = sorted(name for name in files if name.rpartition("/")[0] == folder)
        raise UserError(f"{option} {value}: there is no such file.\nThe package comes with {', '.join(known)}.")
    _say(f"{option} {value}: there is none here, the package's own is taken: {found}")
    return str(found)


def _names_file(value: str) -> bool:
    try:
        return isinstance(yaml.safe_load(value), str)
    except yaml.YAMLError:
        return False  # the parser says what is wrong with it


@rank_zero_only
def _say(line: str) -> None:
    log.info(line)
