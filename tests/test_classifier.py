"""The classifier on a checkpoint of an earlier version, compared with the predictions of that version."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch
import transformers

from nsmc_lightning.checkpoint import Checkpoint
from nsmc_lightning.classifier import Classifier
from nsmc_lightning.cli import main
from nsmc_lightning.commands import classify
from nsmc_lightning.data.tokenizer import train_tokenizer
from nsmc_lightning.errors import UserError
from nsmc_lightning.model.fast.probe import padded_inputs
from nsmc_lightning.model.module import BertClassifierModule
from tests.conftest import REVIEWS, SMALL

EARLIER = Path(__file__).parent / "checkpoints" / "6252e12.ckpt"  # commit that wrote it: a tiny BERT on the demo corpus
POSITIVE = {  # probability of each text, from `test --output` of that commit
    "보고 나니 캐릭터는 참 신선했는데 후반부가 늘어져요~~": 0.47564905881881714,
    "하품은 절로 나왔지만 설정 참신하더라고요.": 0.47559890151023865,
    "방금 봤는데 대사는 빛났어여. 이상 한줄평": 0.4757886826992035,
}


def test_an_earlier_checkpoint_says_what_it_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NSMC_LIGHTNING_CACHE", str(EARLIER / "cache"))  # below a file: a cache that cannot be written
    monkeypatch.chdir(tmp_path)
    probabilities = Classifier(str(EARLIER)).probabilities([*POSITIVE])
    torch.testing.assert_close(probabilities[:, 1], torch.tensor([*POSITIVE.values()]), rtol=0, atol=1e-5)


def test_probabilities_are_those_of_the_checkpoint_s_temperature(tmp_path: Path) -> None:
    content = torch.load(EARLIER, weights_only=True)
    torch.save({**content, "temperature": 0.2}, tmp_path / "x.ckpt")
    before, after = (Classifier(str(path)).probabilities([*POSITIVE]) for path in (EARLIER, tmp_path / "x.ckpt"))
    torch.testing.assert_close(after, (before.log() / 0.2).softmax(1))


def test_a_tokenizer_leaves_no_file_whatever_its_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    checkpoint = Checkpoint.read(str(EARLIER))
    checkpoint.content["NSMCDataModule"]["tokenizer_files"]["../outside.json"] = "{}"
    assert len(checkpoint.tokenizer()) == checkpoint.backbone["vocab_size"]
    assert not list(tmp_path.iterdir())


def test_python_s_way_to_load_a_checkpoint_gives_the_same_network() -> None:
    network = Checkpoint.read(str(EARLIER)).network()
    assert network.temperature == 1.0
    module = BertClassifierModule.load_from_checkpoint(EARLIER)
    for name, weight in network.state_dict().items():
        assert torch.equal(weight, module.state_dict()[name]), name
    assert network.limits == module.limits
    inputs = padded_inputs([torch.arange(2, 9), torch.arange(3, 6)], pad_token_id=0)
    assert torch.equal(network(*inputs), module.eval()(*inputs))


def test_a_text_is_classified_without_lightning(tmp_path: Path) -> None:
    run, best = tmp_path, tmp_path / "checkpoints" / "best.ckpt"
    best.parent.mkdir()
    best.write_bytes(EARLIER.read_bytes())
    code = (
        "import sys; from nsmc_lightning.cli import main; main(sys.argv[1:]);"
        "print(*{'lightning', 'torchmetrics', 'pandas', 'pyarrow', 'sklearn', 'matplotlib'} & sys.modules.keys())"
    )
    args = ["classify", "--ckpt_path", str(run), "좋은 영화"]
    done = subprocess.run([sys.executable, "-c", code, *args], capture_output=True, text=True, check=True)
    answer, imported = done.stdout.split("\n")[:2]
    assert answer.endswith("\t좋은 영화")
    assert imported == ""
    assert done.stderr == f"--ckpt_path {run}: {best}\n"


def test_training_resumes_from_an_earlier_checkpoint() -> None:
    checkpoint = Checkpoint.read(str(EARLIER))
    checkpoint.refuse_plan(max_epochs=3, max_steps=-1, patience=3)  # it is of the second of three epochs
    assert checkpoint.global_step == 48


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A classifier of three classes that transformers wrote."""
    folder = tmp_path_factory.mktemp("classifier")
    torch.manual_seed(0)
    config = transformers.AutoConfig.for_model(**SMALL, num_labels=3, initializer_range=0.5)
    transformers.AutoModelForSequenceClassification.from_config(config).save_pretrained(folder)
    train_tokenizer(REVIEWS, SMALL["vocab_size"]).save_pretrained(folder)
    return folder


def test_a_folder_of_transformers_gives_the_probabilities_of_a_pipeline(folder: Path) -> None:
    pipeline = transformers.pipeline("text-classification", str(folder), device="cpu")
    texts = [*REVIEWS[:4], " ".join(REVIEWS[:4] * 5)]
    expected = [{each["label"]: each["score"] for each in row}
                for row in pipeline(texts, truncation=True, max_length=40, top_k=None)]  # fmt: skip
    classifier = Classifier(str(folder))
    assert [label.name for label in classifier.labels] == ["LABEL_0", "LABEL_1", "LABEL_2"]
    for row, found in zip(expected, classifier.probabilities(texts), strict=True):
        torch.testing.assert_close(found, torch.tensor([row[f"LABEL_{i}"] for i in range(3)]), rtol=0, atol=1e-5)


def test_folders_without_a_classifier_are_refused(folder: Path, tmp_path: Path) -> None:
    encoder, one = tmp_path / "encoder", tmp_path / "one"
    transformers.AutoModel.from_pretrained(folder).save_pretrained(encoder)
    config = transformers.AutoConfig.for_model(**SMALL, num_labels=1)
    transformers.AutoModelForSequenceClassification.from_config(config).save_pretrained(one)
    for path, message in (
        (encoder, r"--ckpt_path .*encoder: it lacks 2 tensors of a bert classifier \(classifier.bias"),
        (one, r"--ckpt_path .*one: its model gives 1 number\(s\)"),
    ):
        with pytest.raises(UserError, match=message):
            Classifier(str(path))
    (encoder / "model.safetensors").write_bytes(b"cut short")
    with pytest.raises(UserError, match="encoder: cannot load this folder"):
        Classifier(str(encoder))


def test_without_a_path_the_model_of_the_clone_answers(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(classify, "_BOX", folder)
    main(["classify", REVIEWS[0]])
    captured = capsys.readouterr()
    assert captured.out.endswith(f"%\t{REVIEWS[0]}\n")
    assert captured.err == f"no --ckpt_path: {folder}\n"
    monkeypatch.setattr(classify, "_BOX", folder / "none")
    with pytest.raises(SystemExit) as stopped:
        main(["classify", REVIEWS[0]])
    assert stopped.value.code == 2
    assert "classify needs a trained model: give --ckpt_path" in capsys.readouterr().err
