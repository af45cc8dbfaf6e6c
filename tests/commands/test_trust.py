"""A configuration may name Lightning's classes and ours; any other name runs nothing unless the command trusts it."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonargparse import ArgumentParser
from jsonargparse._common import parsing_settings
from lightning.pytorch import Callback
from lightning.pytorch.strategies import Strategy

from nsmc_lightning.commands.trust import restrict_imports
from nsmc_lightning.errors import UserError, parsing

STRANGER = """from lightning.pytorch import Callback
open({ran!r}, "w").close()
class Stranger(Callback): pass
def called(*args): pass
"""


@pytest.fixture
def ran(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The file that a stranger's module makes when it is imported; the module can be, as those of one's folder can."""
    ran = tmp_path / "ran"
    (tmp_path / "stranger.py").write_text(STRANGER.format(ran=str(ran)))
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "stranger", raising=False)
    # Denials of an earlier command line in this process; jsonargparse 4.53 has no public way to take them back.
    monkeypatch.setitem(parsing_settings, "import_path_verdicts", {"os": False})
    yield ran
    sys.modules.pop("stranger", None)


class Settings:
    """Slots of the kinds that the trainer has."""

    def __init__(
        self, callbacks: list[Callback] | Callback | None = None, strategy: str | Strategy = "auto", steps: int = 1
    ) -> None:
        pass


def parse(args: list[str]) -> Any:
    parser = ArgumentParser(exit_on_error=False)
    parser.add_argument("--config", action="config")
    parser.add_class_arguments(Settings, sub_configs=True)
    with parsing():
        return parser.parse_args(restrict_imports(args))


def named(name: str) -> dict[str, Any]:
    return {"class_path": name}


@pytest.mark.parametrize(
    ("settings", "key", "name"),
    [
        ({"callbacks": "stranger.Stranger"}, "callbacks", "stranger.Stranger"),
        ({"callbacks": [named("stranger.Stranger")]}, "callbacks", "stranger.Stranger"),
        ({"strategy": named("stranger.Stranger")}, "strategy", "stranger.Stranger"),
        (
            {"callbacks": [{**named("LambdaCallback"), "init_args": {"on_fit_start": "stranger.called"}}]},
            "callbacks.on_fit_start",
            "stranger.called",
        ),
        ({"callbacks": named("torch.hub.load")}, "callbacks", "torch.hub.load"),
        ({"callbacks": named("lightning.pytorch.callbacks.model_checkpoint.shutil.rmtree")}, "callbacks", "shutil"),
    ],
    ids=["name alone", "in a list", "beside a text", "callable", "library", "re-exported"],
)
def test_a_stranger_s_class_is_refused_and_not_imported(
    settings: dict[str, Any], key: str, name: str, ran: Path, tmp_path: Path
) -> None:
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(settings))
    (given,) = settings
    value = settings[given] if isinstance(settings[given], str) else yaml.safe_dump(settings[given])
    (tmp_path / "inner.yaml").write_text(value)
    (tmp_path / "outer.yaml").write_text(yaml.safe_dump({given: str(tmp_path / "inner.yaml")}))
    ways = [["--config", str(tmp_path / "config.yaml")], ["--config", yaml.safe_dump(settings)]]
    if given == "callbacks":  # a strategy's text is taken for its name, and never imported
        ways += [["--callbacks", value], ["--config", str(tmp_path / "outer.yaml")]]
    for way in ways:
        with pytest.raises(UserError, match=rf"^{key} names {name}") as refused:
            parse(way)
        assert "\n" not in str(refused.value)
        assert not ran.exists()


def test_trust_is_given_on_the_command_line_alone(ran: Path) -> None:
    flag = "--callbacks=stranger.Stranger"
    assert parse([flag, "--trust-config"]).callbacks.class_path == "stranger.Stranger"
    assert ran.exists()
    with pytest.raises(UserError, match="--trust-config"):
        parse([flag])
    with pytest.raises(UserError, match="trust"):
        parse(["--config", "trust_config: true\ntrust-config: true\ncallbacks: stranger.Stranger"])


def test_what_runs_commands_is_never_trusted(ran: Path) -> None:
    settings = {**named("LambdaCallback"), "init_args": {"on_fit_start": "os.abort"}}
    with pytest.raises(UserError, match="no configuration may name os"):
        parse(["--trust-config", "--callbacks", yaml.safe_dump([settings])])


def test_a_text_that_imitates_the_parser_s_words_imports_nothing(ran: Path) -> None:
    text = "x\n  - Problem with given class_path 'stranger.Stranger':\n      Option 'a' is not accepted\n"
    with pytest.raises(UserError):
        parse(["--config", yaml.safe_dump({"steps": text})])
    assert not ran.exists()


@pytest.mark.parametrize(
    "name",
    ["EarlyStopping", "lightning.pytorch.callbacks.EarlyStopping", "nsmc_lightning.callbacks.throughput.Throughput"],
)
def test_known_classes_need_no_trust(name: str) -> None:
    init_args = {"monitor": "val/loss"} if "Early" in name else {}
    [callback] = parse(["--callbacks", yaml.safe_dump([{**named(name), "init_args": init_args}])]).callbacks
    assert callback.class_path.endswith(name.rpartition(".")[2])


@pytest.mark.parametrize("tag", ["object/apply:os.system ['touch {}']", "name:os.system", "module:stranger"])
def test_tags_of_python_are_not_followed(tag: str, ran: Path) -> None:
    for key in ("config", "callbacks"):
        with pytest.raises(Exception, match=r"python/"):
            parse([f"--{key}", f"!!python/{tag.format(ran)}"])
    assert not ran.exists()
