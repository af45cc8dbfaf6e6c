"""Files from strangers, through the command line: what they carry does not run, and what is wrong is said."""

import io
import json
import os
import pickle
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
import yaml
from transformers import BertConfig, BertModel

from nsmc_lightning.cli import main
from nsmc_lightning.data.tokenizer import load_tokenizer
from nsmc_lightning.errors import UserError
from nsmc_lightning.model.backbone import load_encoder
from tests.conftest import SIZES
from tests.faults.conftest import Run


class Payload:
    """What runs when it is unpickled: it makes a file."""

    def __init__(self, ran: Path) -> None:
        self.ran = ran

    def __reduce__(self) -> tuple[Any, ...]:
        return open, (str(self.ran), "w")


@pytest.fixture(scope="module")
def trained(recipe: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    logs = tmp_path_factory.mktemp("input")
    limits = ["--trainer.max_steps=1", "--trainer.limit_val_batches=1"]
    main(["fit", "--config", str(recipe), "--log_dir", str(logs), *limits])
    return logs / "small" / "version_0" / "checkpoints" / "last.ckpt"


@pytest.fixture
def ran(tmp_path: Path) -> Path:
    return tmp_path / "ran"


def refused(args: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """The message of a command that must end with code 2."""
    capsys.readouterr()
    with pytest.raises(SystemExit) as stopped:
        main(args)
    lines = capsys.readouterr().err.splitlines()
    assert stopped.value.code == 2
    assert not any("Traceback" in line for line in lines)
    [error] = [line for line in lines if line.startswith("error:")]
    return error


def commands(checkpoint: Path, recipe: Path, texts: Path) -> list[list[str]]:
    """Every way to give a checkpoint."""
    path = ["--ckpt_path", str(checkpoint)]
    return [
        ["test", *path],
        ["validate", *path],
        ["predict", *path, "--data.predict_path", str(texts)],
        ["classify", *path, "재미있다"],
        ["fit", *path, "--config", str(recipe), "--trainer.max_steps=2"],
    ]


# Checkpoints


@pytest.mark.parametrize("form", ["beside the weights", "as the weights", "old format", "bare pickle"])
def test_a_checkpoint_s_payload_is_refused_and_does_not_run(
    form: str, trained: Path, recipe: Path, ran: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = torch.load(trained, weights_only=True)
    hostile = tmp_path / "hostile.ckpt"
    if form == "bare pickle":
        hostile.write_bytes(pickle.dumps(Payload(ran)))
    else:
        key = "state_dict" if form == "as the weights" else "extra"
        torch.save({**whole, key: Payload(ran)}, hostile, _use_new_zipfile_serialization=form != "old format")
    for args in commands(hostile, recipe, tmp_path / "texts.txt"):
        assert str(hostile) in refused(args, capsys)
        assert not ran.exists(), args[0]
    with suppress(RuntimeError):  # a bare pickle is no checkpoint, but that is found out too late
        torch.load(hostile, weights_only=False)
    assert ran.exists()


def test_settings_in_a_checkpoint_name_no_stranger_s_class(
    trained: Path, recipe: Path, ran: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    (tmp_path / "stranger.py").write_text(f"open({str(ran)!r}, 'w').close()\nclass Stranger: pass\n")
    monkeypatch.syspath_prepend(tmp_path)
    checkpoint = torch.load(trained, weights_only=True)
    settings = yaml.safe_load(checkpoint["cli_config"])
    texts = tmp_path / "texts.txt"
    texts.write_text("좋다\n", encoding="utf-8")
    for room, key, value in (
        ("trainer", "callbacks", [{"class_path": "stranger.Stranger"}]),
        ("data", "corpus", {"class_path": "stranger.Stranger"}),
    ):
        hostile = tmp_path / f"{key}.ckpt"
        changed = {**settings, room: {**settings[room], key: value}, "trust_config": True}
        torch.save({**checkpoint, "cli_config": yaml.safe_dump(changed)}, hostile)
        for args in commands(hostile, recipe, texts):
            reads = args[0] == "fit" or (room == "data" and args[0] != "classify")
            if args[0] == "fit":
                args = [word for word in args if word not in ("--config", str(recipe))]
            if reads:
                assert "stranger" in refused(args, capsys) or "trust_config" in refused(args, capsys)
            assert not ran.exists(), args[0]
    sys.modules.pop("stranger", None)


def test_trust_is_one_flag(
    recipe: Path, ran: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    module = f"from lightning.pytorch import Callback\nopen({str(ran)!r}, 'w').close()\nclass Own(Callback): pass\n"
    (tmp_path / "own_callback.py").write_text(module)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), *sys.path]))
    args = ["fit", "--config", str(recipe), "--trainer.fast_dev_run=1", "--trainer.callbacks=own_callback.Own"]
    message = refused(args, capsys)
    assert all(word in message for word in ("trainer.callbacks", "own_callback.Own", "--trust-config"))
    assert not ran.exists()
    run = Run([*args, "--trust-config"])  # a process of its own, as it reads one command line
    assert run.end() == 0, run.stderr[-3000:]
    assert ran.exists()


# Backbones


def backbone(folder: Path, **config: Any) -> Path:
    folder.mkdir()
    settings = BertConfig(**SIZES).to_dict()
    (folder / "config.json").write_text(json.dumps({**settings, **config}))
    (folder / "vocab.txt").write_text("\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "가", "나"]))
    return folder


def test_a_backbone_s_pickle_is_read_as_weights_only(ran: Path, tmp_path: Path) -> None:
    path = backbone(tmp_path / "backbone")
    model = BertModel(BertConfig(**SIZES))
    torch.save({**model.state_dict(), "extra": Payload(ran)}, path / "pytorch_model.bin")
    with pytest.raises(UserError, match="backbone"):
        load_encoder(str(path), pretrained=True, need_pooler=False)
    assert not ran.exists()
    torch.save(model.state_dict(), path / "pytorch_model.bin")  # without it, the same folder loads
    loaded = load_encoder(str(path), pretrained=True, need_pooler=False)
    key = "embeddings.word_embeddings.weight"
    assert torch.equal(loaded.state_dict()[key], model.state_dict()[key])


@pytest.mark.parametrize("model_type", ["bert", "unheard-of"])
def test_a_backbone_s_own_code_does_not_run(model_type: str, ran: Path, tmp_path: Path) -> None:
    classes = {
        "AutoConfig": "modeling.Config",
        "AutoModel": "modeling.Model",
        "AutoTokenizer": ["modeling.T", "modeling.T"],
    }
    path = backbone(tmp_path / "backbone", model_type=model_type, auto_map=classes)
    (path / "modeling.py").write_text(f"open({str(ran)!r}, 'w').close()\n")
    (path / "tokenizer_config.json").write_text(json.dumps({"auto_map": classes, "tokenizer_class": "T"}))
    for load in (
        lambda: load_encoder(str(path), pretrained=False, need_pooler=False),
        lambda: load_encoder(str(path), pretrained=True, need_pooler=False),
        lambda: load_tokenizer(str(path)),
    ):
        try:
            load()
        except UserError as error:
            message = str(error)
            assert "\n" not in message.splitlines()[0]
        assert not ran.exists()


# Texts


def test_bad_rows_and_encodings_are_flags_of_predict(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source, output = tmp_path / "in.tsv", tmp_path / "out.csv"
    content = "id\ttext\n1\t재미있다\n2\t너무\t길다\n3\t" + "하" * 1_000_001 + "\n4\t지루하다\n"
    source.write_bytes(content.encode("cp949"))
    args = ["predict", "--ckpt_path", str(trained), "--data.predict_path", str(source), "--output", str(output)]
    assert "--data.encoding cp949" in refused(args, capsys)
    assert "in.tsv, line 3: 3 columns" in refused([*args, "--data.encoding", "cp949"], capsys)
    main([*args, "--data.encoding", "cp949", "--data.on_bad_rows", "skip"])
    table = pd.read_csv(output, dtype={"id": str})
    assert table["text"].fillna("").tolist() == ["재미있다", "", "", "지루하다"]
    assert table["label"].isna().tolist() == [False, True, True, False]


def test_classify_names_the_line_that_it_cannot_read(
    trained: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for hostile, word in (("나쁘다".encode("cp949"), "not UTF-8"), (b"x" * 1_000_001, "1,000,001 characters")):
        lines = b"\xef\xbb\xbf" + "좋다\r\n\0\n".encode() + hostile + b"\n"
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(lines)))
        with pytest.raises(SystemExit) as stopped:
            main(["classify", "--ckpt_path", str(trained)])
        output, error = capsys.readouterr()
        assert stopped.value.code == 2
        assert output.splitlines()[0].endswith("\t좋다")  # what came before is answered
        assert "standard input, line 3" in error
        assert word in error


def test_an_argument_that_is_no_text_is_answered(trained: Path, capsysbinary: Any) -> None:
    main(["classify", "--ckpt_path", str(trained), b"\xbf\xb5".decode(errors="surrogateescape")])
    assert capsysbinary.readouterr().out.endswith(b"\t??\n")
