"""The recipes and corpora that the package ships, found by the names that they have in the repository."""

import os
from pathlib import Path, PurePath

import yaml

from nsmc_lightning.errors import UserError, report

_PACKAGE = Path(__file__).parents[1]
# A wheel installs them within the package; in a clone, also an editable one, they are beside it.
SHIPPED = next((root for root in (_PACKAGE, _PACKAGE.parent) if (root / "configs").is_dir()), _PACKAGE) / "configs"


def recipe_file(option: str, value: str, shipped: Path = SHIPPED) -> str:
    """The file that ``option`` names: the user's own, else the shipped one of that name, which is then reported.

    Args:
        option: ``--config`` or ``--data.corpus``.
        value: a file, or settings as YAML text, which are returned as they are.
        shipped: the folder to look for ``configs`` in.

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
        raise UserError(f"{option} {value}: there is no such file.\nThe package ships {', '.join(known)}.")
    report(f"{option} {value}: there is none here; using the package's own, {found}")
    return str(found)


def _names_file(value: str) -> bool:
    try:
        return isinstance(yaml.safe_load(value), str)
    except yaml.YAMLError:
        return False  # not YAML text either; reading it explains why
