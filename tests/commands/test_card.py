"""The model card of a trimmed encoder."""

from huggingface_hub import ModelCard

from nsmc_lightning.commands.card import Figures, card
from nsmc_lightning.data.corpus import NSMC
from nsmc_lightning.export.origin import Origin
from nsmc_lightning.model.vocabulary import Size

REVISION = "0" * 40
FIGURES = Figures(
    pieces=(10, 5),
    sizes=(Size(100, 200, 800), Size(50, 150, 600)),
    texts=7,
    used=3,
    files=[("ratings_train.txt", "ab12")],
    test=None,
)


def test_a_card_links_to_the_model_that_it_was_made_from() -> None:
    text = card(Origin("someone/some-bert", True, REVISION, "mit"), NSMC, FIGURES)
    data = ModelCard(text).data
    assert (data.base_model, data.license) == ("someone/some-bert", "mit")
    assert f"[someone/some-bert](https://huggingface.co/someone/some-bert) (revision {REVISION}, licence mit)" in text
    assert "| ratings_train.txt | ab12 |" in text
    assert "nsmc (CC0)" in text
    assert "test part" not in text
