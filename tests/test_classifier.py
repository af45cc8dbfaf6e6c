"""The classifier on a checkpoint of an earlier version, compared with the predictions of that version."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from nsmc_lightning.checkpoint import Checkpoint
from nsmc_lightning.classifier import Classifier
from nsmc_lightning.model.fast.probe import padded_inputs
from nsmc_lightning.model.module import BertClassifierModule

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
