"""Where an encoder comes from, for model cards."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import yaml
from huggingface_hub import ModelCard, hf_hub_download, try_to_load_from_cache
from transformers import PretrainedConfig


class Origin(NamedTuple):
    """Where an encoder comes from: its hub id, or a folder's name; what is not known is None."""

    name: str
    on_hub: bool
    revision: str | None
    licence: str | None

    @property
    def link(self) -> str:
        """The name in Markdown, with a link to the hub."""
        return f"[{self.name}](https://huggingface.co/{self.name})" if self.on_hub else self.name


def origin_of(backbone: str, config: PretrainedConfig) -> Origin:
    """Look up revision and licence of a hub id or a folder, as far as its model card or configuration names them.

    A name is taken for a hub id where the hub, or its cache, has a file under it: of a folder that is no longer there,
    only its name is known.
    """
    folder = Path(backbone).expanduser()
    if folder.is_dir():
        return Origin(folder.resolve().name, False, None, _licence(folder / "README.md", config))
    path, cached = None, None
    with suppress(Exception):  # there is no card, no network, or no such id: each is an error of another class
        path = Path(hf_hub_download(backbone, "README.md"))
    with suppress(Exception):
        cached = try_to_load_from_cache(backbone, "config.json")
    if path is None and not isinstance(cached, str):
        return Origin(folder.name, False, None, _licence(None, config))
    revision = Path(cached).parent.name if isinstance(cached, str) else None  # the cache names folders by revision
    return Origin(backbone, True, revision, _licence(path, config))


def _licence(path: Path | None, config: PretrainedConfig) -> str | None:
    with suppress(OSError, ValueError, yaml.YAMLError):  # no card, or one that is broken
        if path is not None and (named := ModelCard(path.read_text(encoding="utf-8")).data.get("license")):
            return str(named)
    return getattr(config, "license", None)
