"""What a checkpoint's model was trained on, and which rows must not be used with it."""

from pathlib import Path
from typing import Any, NamedTuple

from nsmc_lightning.data.corpus import Corpus
from nsmc_lightning.errors import UserError

# Keys that do not decide a file's rows, or are compared elsewhere: files by their content, labels by Checkpoint.
_NOT_READ_BY = {"name", "train", "dev", "test", "labels", "id_column", "generate", "licence", "korean_unit"}


class TrainedOn(NamedTuple):
    """A corpus as plain types, and the sha256 of its files by name."""

    corpus: dict[str, Any]
    sha256: dict[str, str]

    def refuse_other_rows(self, corpus: Corpus, part: str, path: Path, sha256: str) -> None:
        """Refuse a training file that is not read or split as it was for the model.

        Otherwise dev or test rows could be rows that the model was trained on.

        Args:
            corpus: the corpus in use.
            part: train, dev or test, read from the training file.
            path: the training file.
            sha256: checksum of its content.

        Raises:
            UserError: the file differs, or a corpus key that decides how it is read or split.
        """
        self._refuse_other_parts(corpus)
        self._refuse_other_reading(corpus)
        name = self.corpus["train"]["file"]
        if sha256 != self.sha256.get(name):
            instead = "train anew without --ckpt_path" if part == "train" else f"give data.corpus.{part} a file"
            raise UserError(
                f"{path}: not the {name} that the checkpoint was trained on (its sha256 differs), "
                f"so that {part} would be other rows.\n"
                f"Name the folder of that file with --data.data_dir, or {instead}."
            )

    def refuse_other_file(self, path: Path, sha256: str) -> None:
        """Refuse a file that is none of those that the model was trained or selected on, by any name.

        Args:
            path: the file.
            sha256: checksum of its content.

        Raises:
            UserError: no file of the training has this checksum.
        """
        if sha256 not in self.sha256.values():
            raise UserError(f"{path}: not the file that the checkpoint was trained on (its sha256 differs).")

    def _refuse_other_parts(self, corpus: Corpus) -> None:
        for key in ("dev", "test"):
            if (getattr(corpus, key) is None) != (self.corpus[key] is None):
                had = "without a" if self.corpus[key] is None else "with a"
                raise UserError(
                    f"data.corpus.{key}: the checkpoint was trained {had} file for this part, so that other rows were "
                    "split off: leave it out, or train anew without --ckpt_path."
                )

    def _refuse_other_reading(self, corpus: Corpus) -> None:
        unread = _NOT_READ_BY if corpus.test is None else {*_NOT_READ_BY, "test_fraction"}
        for key, now in corpus.reading.items():
            if key not in unread and key in self.corpus and now != self.corpus[key]:
                raise UserError(
                    f"data.corpus.{key} is {now!r}, but the checkpoint was trained with {self.corpus[key]!r}, so that "
                    "the rows would differ: leave it out, or train anew without --ckpt_path."
                )
