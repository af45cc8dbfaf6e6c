"""Where an encoder comes from: the hub, or a folder."""

from pathlib import Path

import pytest
from transformers import AutoConfig

from nsmc_lightning.export.origin import Origin, origin_of

CONFIG = AutoConfig.for_model("bert")
REVISION = "0" * 40


@pytest.fixture
def hub_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a model in a hub cache, without network."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    model = tmp_path / "models--someone--some-bert"
    (model / "refs").mkdir(parents=True)
    (model / "refs" / "main").write_text(REVISION)
    (model / "snapshots" / REVISION).mkdir(parents=True)
    (model / "snapshots" / REVISION / "config.json").write_text("{}")
    return model / "snapshots" / REVISION


def test_revision_and_licence_of_a_hub_id(hub_cache: Path) -> None:
    assert origin_of("someone/some-bert", CONFIG) == Origin("someone/some-bert", True, REVISION, None)
    (hub_cache / "README.md").write_text("---\nlicense: apache-2.0\n---\n# A model\n")
    assert origin_of("someone/some-bert", CONFIG) == Origin("someone/some-bert", True, REVISION, "apache-2.0")


@pytest.mark.parametrize("name", ["/home/someone/encoders/own", "encoders/own", "~/own"])
def test_a_folder_that_is_no_longer_there_is_not_on_the_hub(hub_cache: Path, name: str) -> None:
    assert origin_of(name, CONFIG) == Origin("own", False, None, None)


@pytest.mark.parametrize(
    ("readme", "licence"),
    [(None, None), ("---\nlicense: mit\n---\n", "mit"), ("# No front matter\n", None), ("---\n{: [\n---\n", None)],
)
def test_licence_of_a_folder(tmp_path: Path, readme: str | None, licence: str | None) -> None:
    if readme is not None:
        (tmp_path / "README.md").write_text(readme)
    assert origin_of(str(tmp_path), CONFIG) == Origin(tmp_path.name, False, None, licence)


def test_a_licence_that_only_the_configuration_names(tmp_path: Path) -> None:
    assert origin_of(str(tmp_path), AutoConfig.for_model("bert", license="cc0-1.0")).licence == "cc0-1.0"
