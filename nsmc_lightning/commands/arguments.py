"""The words of a command line before they are parsed: what stands where, and what a checkpoint puts in front."""

from itertools import islice
from pathlib import Path
from typing import Any

import yaml

from nsmc_lightning.commands.recipes import recipe_file
from nsmc_lightning.errors import UserError


def option(args: list[str], name: str) -> str | None:
    """The value of the last ``--name VALUE`` or ``--name=VALUE``."""
    value = None
    for i, arg in enumerate(args):
        if arg == name and i + 1 < len(args):
            value = args[i + 1]
        elif arg.startswith(f"{name}="):
            value = arg.partition("=")[2]
    return value


def run_of(args: list[str]) -> tuple[str, str | None]:
    """The folder of all runs and the run's name, by the flags or the files of ``--config``; None where neither says."""
    configs = []
    for arg, following in zip(args, [*args, ""][1:], strict=True):
        if arg in ("--config", "-c"):
            configs.append(following)
        elif arg.startswith("--config="):
            configs.append(arg.partition("=")[2])
    log_dir, name = "lightning_logs", Path(configs[-1]).stem if configs else None
    for config in configs:
        settings = _settings(config)
        log_dir, name = settings.get("log_dir") or log_dir, settings.get("name") or name
    return option(args, "--log_dir") or log_dir, option(args, "--name") or name


def configs_first(args: list[str], before: list[str]) -> list[str]:
    """The arguments with every ``--config`` in front, ``before`` first of all: a flag wins wherever it stands.

    The parser goes by order: a saved ``config.yaml`` behind ``--ckpt_path X`` would set it to null again, and an
    untrained model would be tested.

    Raises:
        UserError: a ``--config`` or ``--data.corpus`` names a file that is neither there nor shipped, or one in which a
            key stands twice.
    """
    configs, flags = list(before), []
    rest = iter(args[1:])
    for arg in rest:
        if arg in ("--config", "-c"):
            configs.append(_file("--config", next(rest, "")))
        elif arg.startswith("--config="):
            configs.append(_file("--config", arg.partition("=")[2]))
        elif arg == "--data.corpus":
            flags += [arg, *(_file(arg, word) for word in islice(rest, 1))]
        elif arg.startswith("--data.corpus="):
            flags.append(f"--data.corpus={_file('--data.corpus', arg.partition('=')[2])}")
        else:
            flags.append(arg)
    return [args[0], *_whole_corpora([word for config in configs for word in ("--config", config)] + flags)]


def _file(option: str, value: str) -> str:
    """The file that ``option`` names, in which no key stands twice: YAML would keep the last and drop the first."""
    file = recipe_file(option, value)
    try:
        root = yaml.compose(Path(file).read_text(encoding="utf-8"), yaml.SafeLoader)
    except (
        OSError,
        ValueError,
        yaml.YAMLError,
    ):  # settings spelt out, or a file that the parser says what is wrong with
        return file
    if (repeated := _repeated_key(root)) is not None:
        raise UserError(
            f"{option} {value}, line {repeated.start_mark.line + 1}: the key {repeated.value} stands there a second "
            "time; put what belongs to it in one place."
        )
    return file


def _repeated_key(root: yaml.Node | None) -> yaml.ScalarNode | None:
    """The first key that its mapping already has; what a merge (``<<``) brings may be given anew."""
    waiting, visited = [root], set()
    while waiting:
        node = waiting.pop()
        if node is None or id(node) in visited:
            continue
        visited.add(id(node))  # an alias is the node that it stands for
        if isinstance(node, yaml.SequenceNode):
            waiting += node.value
        elif isinstance(node, yaml.MappingNode):
            seen = set()
            for key, value in node.value:
                if isinstance(key, yaml.ScalarNode):
                    if key.value in seen:
                        return key
                    seen.add(key.value)
                waiting.append(value)
    return None


def _whole_corpora(args: list[str]) -> list[str]:
    """The arguments with the corpus emptied before each that names a whole one.

    The parser would merge them: what the second corpus leaves out, its test part say, would be the first one's.
    """
    result: list[str] = []
    for arg, following in zip(args, [*args, ""][1:], strict=True):
        names_file = arg == "--data.corpus" or arg.startswith("--data.corpus=")
        if names_file or (arg == "--config" and _names_corpus(following)):
            result.append("--data.corpus=null")
        result.append(arg)
    return result


def _names_corpus(config: str) -> bool:
    """Whether a configuration, a path or YAML text, has a corpus of its own; what cannot be read is the parser's."""
    corpus = (_settings(config).get("data") or {}).get("corpus")
    return isinstance(corpus, str) or (isinstance(corpus, dict) and "train" in corpus)


def _settings(config: str) -> dict[str, Any]:
    """What a configuration, a path or YAML text, says; nothing where it cannot be read."""
    try:
        settings = yaml.safe_load(Path(config).read_text(encoding="utf-8") if len(config) < 4096 else config)
    except (OSError, ValueError, yaml.YAMLError):
        return {}
    return settings if isinstance(settings, dict) else {}
