"""The drawings, with warnings as errors, and the pictures in TensorBoard's event file of a tiny run."""

import ast
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from fontTools.fontBuilder import FontBuilder
from lightning.pytorch import LightningDataModule, LightningModule, Trainer
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger
from matplotlib import font_manager
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from sklearn.metrics import confusion_matrix
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch.utils.data import DataLoader

from nsmc_lightning.callbacks import pictures
from nsmc_lightning.callbacks.pictures import Pictures, draw_confusion, draw_lengths
from nsmc_lightning.types import Batch, Prediction

CLASSES = 3
ROWS = 20


class TinyModule(LightningModule):
    """Predicts the same random probabilities for a row each time."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(()))
        self.probabilities = torch.rand(ROWS, CLASSES, generator=torch.Generator().manual_seed(0)).softmax(1)

    def training_step(self, batch: Batch, batch_idx: int) -> torch.Tensor:
        return self.weight**2

    def validation_step(self, batch: Batch, batch_idx: int) -> Any:
        return Prediction(batch.rows, self.probabilities[batch.rows])

    def test_step(self, batch: Batch, batch_idx: int) -> Any:
        return self.validation_step(batch, batch_idx)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1)


class TinyData(LightningDataModule):
    """Twenty rows in batches of eight."""

    def __init__(self, max_length: int = 64) -> None:
        super().__init__()
        self.save_hyperparameters()
        self.corpus = SimpleNamespace(label_names=["negative", "positive", "글쎄"])
        self.labels = torch.arange(ROWS) % CLASSES
        reviews = SimpleNamespace(full_lengths=np.arange(50, 90, 2))
        self.encoded = {"train": SimpleNamespace(characters=np.arange(1, 21), reviews=reviews)}
        self.max_length = max_length

    def _loader(self) -> DataLoader[Any]:
        return DataLoader(range(ROWS), batch_size=8, collate_fn=self._batch)  # type: ignore[arg-type]

    def _batch(self, rows: list[int]) -> Batch:
        ids = torch.tensor(rows)
        column, places = ids[:, None], torch.arange(len(rows))
        return Batch(
            ids,
            column,
            places[:, None] + 1,
            self.labels[ids],
            len(rows),
            torch.zeros_like(column),
            places,
            packed=False,
        )

    train_dataloader = val_dataloader = test_dataloader = _loader


def trainer(folder: Path, loggers: list[Any]) -> Trainer:
    """A trainer of two epochs that prints nothing."""
    return Trainer(
        max_epochs=2,
        accelerator="cpu",
        logger=loggers,
        callbacks=[Pictures()],
        default_root_dir=folder,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        log_every_n_steps=1,
    )


def steps(folder: Path) -> dict[str, list[int]]:
    """Steps of each picture in an event file."""
    events = EventAccumulator(str(folder), size_guidance={"images": 0})
    events.Reload()
    return {tag: [image.step for image in events.Images(tag)] for tag in events.Tags()["images"]}


def pixels(figure: Figure) -> np.ndarray:
    """A figure as it is drawn, uint8 (height, width, 4)."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())


def bars(figure: Figure, axes: int) -> list[Rectangle]:
    """The bars of a histogram."""
    return [bar for bar in figure.axes[axes].patches if isinstance(bar, Rectangle)]


def texts(figure: Figure) -> list[str]:
    """All text in the first axes of a figure."""
    axes = figure.axes[0]
    return [text.get_text() for text in (*axes.texts, *axes.get_xticklabels(), axes.title)]


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[np.ndarray]:
    """The confusion matrices that are drawn, in order."""
    matrices: list[np.ndarray] = []

    def spy(matrix: np.ndarray, names: list[str]) -> Figure:
        matrices.append(matrix)
        return draw_confusion(matrix, names)

    monkeypatch.setattr(pictures, "draw_confusion", spy)
    return matrices


# A run


@pytest.mark.filterwarnings("ignore:The '.*_dataloader' does not have many workers")
def test_fit_and_test_log_pictures(tmp_path: Path, drawn: list[np.ndarray]) -> None:
    logger = TensorBoardLogger(tmp_path, name="", version="run")
    module, data = TinyModule(), TinyData()
    run = trainer(tmp_path, [CSVLogger(tmp_path), logger])
    run.fit(module, datamodule=data)
    run.test(module, datamodule=data, verbose=False)
    logger.experiment.flush()
    assert steps(tmp_path / "run") == {
        "train/lengths": [0],
        "val/confusion_matrix": [3, 6],  # two epochs of three batches, and none from the sanity check
        "test/confusion_matrix": [6],
    }
    expected = confusion_matrix(data.labels, module.probabilities.argmax(1))
    assert len(drawn) == 3
    for matrix in drawn:  # equal: each count starts from zero
        assert matrix.tolist() == expected.tolist()


@pytest.mark.filterwarnings("ignore:The '.*_dataloader' does not have many workers")
def test_without_tensorboard_nothing_happens(tmp_path: Path, drawn: list[np.ndarray]) -> None:
    run = trainer(tmp_path, [CSVLogger(tmp_path)])
    run.fit(TinyModule(), datamodule=TinyData())
    assert drawn == []
    assert list(tmp_path.rglob("events.*")) == []


# Drawings


@pytest.mark.filterwarnings("error")
def test_the_title_gives_the_share_that_is_cut() -> None:
    tokens = np.array([10] * 15 + [64] * 3 + [65] + [9_000])
    figure = draw_lengths(tokens * 2, tokens, max_length=64)
    assert figure.get_suptitle() == "20 training texts, 10.00% cut at 64 tokens"
    tokens_of = bars(figure, 1)
    assert sum(bar.get_height() for bar in tokens_of) == 20  # texts longer than the axis included
    cut = [bar for bar in tokens_of if bar.get_facecolor() != tokens_of[0].get_facecolor()]
    assert sum(bar.get_height() for bar in cut) == 2
    assert pixels(figure).std() > 0


def test_lengths_without_a_tokenizer() -> None:
    figure = draw_lengths(np.array([3, 5, 5]), None, max_length=4, texts="test texts")
    assert figure.get_suptitle() == "3 test texts"
    assert len(figure.axes) == 1
    assert sum(bar.get_height() for bar in bars(figure, 0)) == 3


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("lengths", [[], [5], [0, 0], list(range(1, 400)), [3] * 10 + [100_000]])
@pytest.mark.parametrize("max_length", [2, 64, 512])
def test_lengths_of_odd_parts(lengths: list[int], max_length: int) -> None:
    values = np.array(lengths, dtype=np.int64)
    figure = draw_lengths(values, values, max_length)
    assert [sum(bar.get_height() for bar in bars(figure, axes)) for axes in (0, 1)] == [len(lengths)] * 2
    pixels(figure)


@pytest.mark.filterwarnings("error")
def test_confusion_has_counts_shares_and_names() -> None:
    figure = draw_confusion(np.array([[900, 100], [0, 0]]), ["negative", "$positive$"])
    assert texts(figure) == [
        *("900\n90.0%", "100\n10.0%", "0", "0"),
        *("negative", "$positive$"),
        "accuracy 90.00% of 1,000 texts",
    ]
    assert pixels(figure).std() > 0


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("classes", [1, 7, 30])
def test_confusion_of_many_classes_and_no_rows(classes: int) -> None:
    pixels(draw_confusion(np.zeros((classes, classes), dtype=np.int64), ["a rather long name"] * classes))


# Fonts


@pytest.fixture
def own_fonts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leaves matplotlib no fonts but its own; a test may add some."""
    own = [font for font in font_manager.fontManager.ttflist if "mpl-data" in font.fname]
    monkeypatch.setattr(font_manager.fontManager, "ttflist", own)


def make_font(path: Path, family: str, letters: str) -> None:
    """Writes a font in which every letter is the same square."""
    from fontTools.pens.ttGlyphPen import TTGlyphPen

    pen = TTGlyphPen(None)
    for step, point in enumerate([(0, 0), (0, 800), (800, 800), (800, 0)]):
        (pen.lineTo if step else pen.moveTo)(point)
    pen.closePath()
    builder = FontBuilder(1000, isTTF=True)
    builder.setupGlyphOrder([".notdef", "square"])
    builder.setupCharacterMap({ord(letter): "square" for letter in letters})
    builder.setupGlyf({".notdef": pen.glyph(), "square": pen.glyph()})
    builder.setupHorizontalMetrics({".notdef": (900, 0), "square": (900, 0)})
    builder.setupHorizontalHeader(ascent=900, descent=-100)
    builder.setupNameTable({"familyName": family, "styleName": "Regular"})
    builder.setupOS2()
    builder.setupPost()
    builder.save(path)


@pytest.mark.filterwarnings("error")
@pytest.mark.usefixtures("own_fonts")
def test_without_a_font_for_it_a_hangul_name_becomes_a_number() -> None:
    figure = draw_confusion(np.eye(3, dtype=np.int64), ["부정", "positive", "좋다 ok"])
    pixels(figure)
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == ["class 0", "positive", "class 2"]


@pytest.mark.filterwarnings("error", "ignore::DeprecationWarning")  # pyparsing's, of matplotlib before 3.10.8
@pytest.mark.usefixtures("own_fonts")
def test_hangul_is_drawn_where_a_font_has_it(tmp_path: Path) -> None:
    for family, letters in (("UnDotum", "가부정"), ("Latin", "ab")):
        make_font(tmp_path / f"{family}.ttf", family, letters)
        font_manager.fontManager.addfont(tmp_path / f"{family}.ttf")
    figure = draw_confusion(np.eye(3, dtype=np.int64), ["부정", "positive", "긍정"])
    pixels(figure)
    assert [label.get_text() for label in figure.axes[0].get_xticklabels()] == ["부정", "positive", "class 2"]


def test_drawing_libraries_wait_until_something_is_drawn() -> None:
    tree = ast.parse(Path(pictures.__file__).read_text(encoding="utf-8"))
    modules = {node.module for node in tree.body if isinstance(node, ast.ImportFrom) and node.module}
    assert not {module.split(".")[0] for module in modules} & {"matplotlib", "torchmetrics"}
