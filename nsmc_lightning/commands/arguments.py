"""The command line before it is parsed: options always win over --config; a second corpus replaces the first."""

import json
import os
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from nsmc_lightning.commands.recipes import SHIPPED, recipe_file
from nsmc_lightning.errors import UserError

# The parser would merge two corpora: what the second leaves out, its test part say, would be the first one's.
_NO_CORPUS = "--data.corpus=null"


class Config(NamedTuple):
    """Settings: ``source`` is the file or YAML text that the parser gets, ``settings`` what it contains."""

    source: str
    settings: dict[str, Any]

    @classmethod
    def read(cls, option: str, value: str | None) -> "Config":
        """What ``option`` gives: a file of the user's, a shipped one, or YAML text.

        Raises:
            UserError: there is no such file, it is not YAML in UTF-8, it gives a key twice or contains no settings.
        """
        if not value:
            raise UserError(f"{option}: give a file with it, or settings in YAML.")
        source = recipe_file(option, value)
        try:
            text = Path(source).read_text(encoding="utf-8") if os.path.exists(source) else source
            settings = yaml.load(text, _Loader)
        except yaml.MarkedYAMLError as error:
            line = f", line {error.problem_mark.line + 1}" if error.problem_mark else ""
            raise UserError(f"{option} {value}{line}: invalid YAML, {error.problem}.") from error
        except (OSError, ValueError, yaml.YAMLError):
            settings = text = ""
        if not isinstance(settings, dict | None):
            way_out = " Give a checkpoint with --ckpt_path." if value.endswith(".ckpt") else ""
            raise UserError(f"{option} {value}: not a file of settings, in YAML and UTF-8.{way_out}")
        return cls(source, settings or {})

    @property
    def file(self) -> str | None:
        """The file, or None of YAML text."""
        return self.source if os.path.isfile(self.source) else None

    @property
    def has_corpus(self) -> bool:
        """Whether it has a whole corpus, not only some keys of one."""
        return isinstance(self._corpus, str) or (isinstance(self._corpus, dict) and "train" in self._corpus)

    @property
    def changes_corpus(self) -> bool:
        """Whether it has keys of a corpus that it does not name."""
        return isinstance(self._corpus, dict) and bool(self._corpus) and not {"name", "train"} & self._corpus.keys()

    @property
    def _corpus(self) -> Any:
        data = self.settings.get("data")
        return data.get("corpus") if isinstance(data, dict) else None

    @property
    def words(self) -> list[str]:
        """The arguments for the parser."""
        return [*([_NO_CORPUS] if self.has_corpus else []), *([f"--config={self.source}"] if self.settings else [])]


class _Loader(yaml.SafeLoader):
    """Refuses a key that its mapping already has: YAML would keep the last and drop the first."""

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        node = super().compose_mapping_node(anchor)
        seen = set()
        for key in [key for key, _ in node.value if isinstance(key, yaml.ScalarNode)]:
            if key.value in seen:
                raise yaml.MarkedYAMLError(
                    problem=f"the key {key.value} is given a second time: put all that belongs to it in one place",
                    problem_mark=key.start_mark,
                )
            seen.add(key.value)
        return node


class CommandLine:
    """A command, its configurations and its other options in order.

    Args:
        args: the command line, without the program's name.

    Raises:
        UserError: a ``--config`` or ``--data.corpus`` cannot be read.
    """

    def __init__(self, args: list[str]) -> None:
        self.command = args[0]
        self.configs: list[Config] = []
        self.options: list[tuple[str, str | None]] = []
        for name, value in _options(args[1:]):
            if name in ("--config", "-c"):
                self.configs.append(Config.read("--config", value))
            elif name in ("--data.corpus", "--data.exclude"):
                self.options.append((name, Config.read(name, value).source))
            else:
                self.options.append((name, value))

    @property
    def trainer_method(self) -> str:
        """The method of Lightning's trainer that the command calls."""
        return "fit" if self.command == "pretrain" else self.command

    def last(self, name: str) -> str | None:
        """The value of the last ``--name VALUE`` or ``--name=VALUE``."""
        return next((value for option, value in reversed(self.options) if option == name), None)

    def log_dir_and_name(self) -> tuple[str, str | None]:
        """Folder of all runs and the run's name, by the options or the configurations; None where neither names it."""
        files = [config.file for config in self.configs if config.file]
        log_dir, name = "lightning_logs", Path(files[-1]).stem if files else None
        for config in self.configs:
            log_dir, name = config.settings.get("log_dir") or log_dir, config.settings.get("name") or name
        name = self.last("--name") or name
        return str(self.last("--log_dir") or log_dir), None if name is None else str(name)

    def names_place(self, beside: int) -> bool:
        """Whether an option, or a configuration behind the first ``beside``, names where the command writes.

        The first is that of a checkpoint, which names where it was written. Only training reads the place from a
        configuration: beside a checkpoint to be measured, a recipe is there for its data.
        """
        keys = ("log_dir", "name", "version")
        by_option = any(self.last(f"--{key}") is not None for key in keys)
        configs = self.configs[beside:] if self.trainer_method == "fit" else []
        return by_option or any(config.settings.get(key) is not None for config in configs for key in keys)

    def words(self) -> list[str]:
        """The arguments for the parser, every ``--config`` in front, so that an option wins wherever it is given.

        The parser goes by order: a saved ``config.yaml`` behind ``--ckpt_path X`` would set it to null again, and an
        untrained model would be tested.
        """
        words = [self.trainer_method]
        if self._changes_default_corpus:  # the parser's default, None, has no keys
            words.append(f"--data.corpus={self._default_corpus}")
        words += [word for config in self.configs for word in config.words]
        for name, value in self.options:
            words += [_NO_CORPUS] if name == "--data.corpus" else []
            words.append(name if value is None else f"{name}={value}")
        return words

    @property
    def _default_corpus(self) -> str:
        """The file or JSON of the corpus to which keys are given where none is named; raw texts have no default."""
        if self.command == "pretrain":
            return json.dumps({"file": self.last("--data.corpus.file")})
        return str(SHIPPED / "corpus" / "nsmc.yaml")

    @property
    def _changes_default_corpus(self) -> bool:
        if self.last("--data.corpus") is not None or any(config.has_corpus for config in self.configs):
            return False
        keys = any(name.startswith("--data.corpus.") for name, _ in self.options)
        return keys or any(config.changes_corpus for config in self.configs)


def _options(args: list[str]) -> list[tuple[str, str | None]]:
    """Name and value of each option; None is the value of a word on its own."""
    options: list[tuple[str, str | None]] = []
    words = list(args)
    while words:
        name, equals, value = words.pop(0).partition("=")
        if not equals and (name.startswith("--") or name == "-c") and words and not words[0].startswith("--"):
            equals, value = "=", words.pop(0)
        options.append((name, value if equals else None))
    return options
