"""The texts of a corpus and of further files, for a command that learns from them but trains nothing."""

import re
from argparse import ArgumentError
from collections.abc import Iterator
from pathlib import Path

from jsonargparse import ArgumentParser

from nsmc_lightning.commands.arguments import Config
from nsmc_lightning.commands.trust import restrict_imports
from nsmc_lightning.data.corpus import Corpus
from nsmc_lightning.data.parts import Parts
from nsmc_lightning.data.texts import stream_texts
from nsmc_lightning.errors import UserError, in_words
from nsmc_lightning.files import default_cache_dir, file_digest


class Texts:
    """The texts of train and dev of a corpus, and of further files; never those of test.

    Args:
        corpus: the data set.
        data_dir: folder of its files; None downloads or generates them in the cache.
        files: further files of texts.
        text_column: text column of these files.

    Raises:
        UserError: a file is missing, cannot be downloaded, or is the test part; while iterating, a file cannot be read.
    """

    def __init__(self, corpus: Corpus, data_dir: str | None, files: list[str], text_column: str) -> None:
        self.parts = Parts(
            corpus,
            None if data_dir is None else Path(data_dir),
            default_cache_dir(),
            dev_fraction=0.1,  # of no consequence: both sides are read
            split_seed=0,
            predict_path=None,
            encoding="utf-8",
            on_bad_rows="error",
        )
        self.files = [Path(file) for file in files]
        self.text_column = text_column
        for file in self.files:
            if not file.is_file():  # nor standard input or a pipe: texts are read more than once
                raise UserError(f"--texts {file}: there is no such file.")
        for part in ("train", "dev"):
            self.parts.path(part)
        if corpus.test is not None:
            self._refuse_test(self.parts.sha256("test"))

    def __iter__(self) -> Iterator[str]:
        for part in ("train", "dev"):
            yield from self.parts.rows(part)["text"]
        for file in self.files:
            yield from stream_texts(file, self.text_column, self.parts.corpus)

    @property
    def test(self) -> list[str] | None:
        """The texts of the corpus's test part, to be measured only; None if the corpus has no file of one."""
        return None if self.parts.corpus.test is None else self.parts.rows("test")["text"].tolist()

    def _refuse_test(self, sha256: str) -> None:
        for file in self.files:
            if file_digest(file) == sha256:
                raise UserError(
                    f"--texts {file}: the corpus's test part, from which nothing may be learnt; leave it out."
                )

    def checksums(self) -> list[tuple[str, str]]:
        """Return the name and the sha256 of each file."""
        of_corpus = {self.parts.source(part).file: self.parts.sha256(part) for part in ("train", "dev")}
        return [*of_corpus.items(), *((file.name, file_digest(file)) for file in self.files)]


def read_corpus(value: str) -> Corpus:
    """Read a corpus file, the user's own or a shipped one.

    Raises:
        UserError: there is no such file, or it does not describe a corpus.
    """
    settings = Config.read("--corpus", value).settings
    restrict_imports([])  # a corpus file needs no classes
    parser = ArgumentParser(exit_on_error=False)
    parser.add_argument("--corpus", type=Corpus)
    try:
        return parser.instantiate(parser.parse_object({"corpus": settings})).corpus
    except ArgumentError as error:
        raise UserError(f"--corpus {value}: {_fault_of_corpus(str(error))}") from error


def _fault_of_corpus(message: str) -> str:
    """The parser's words about a corpus, without the options that only fit has."""
    if keys := re.search("arguments are required: (.*)", message):
        return f"lacks {keys[1].replace('corpus.', '')}; configs/corpus/nsmc.yaml has an example of every key."
    if key := re.search(r"does not accept option '([\w.]+)'", message):
        return f"there is no key {key[1]}; configs/corpus/nsmc.yaml has an example of every key."
    return in_words(message)
