"""Lightning's trainer in the folder of a run."""

from pathlib import Path

from lightning.pytorch import Trainer


class RunTrainer(Trainer):
    """A trainer whose ``log_dir`` is its run's folder, whichever loggers it has, also without any.

    Attributes:
        folder: the run's folder; None for a command that writes none, and in all processes but the first.
    """

    folder: Path | None = None

    @property
    def log_dir(self) -> str | None:
        """The run's folder, as the first process knows it; all processes read it together."""
        return self.strategy.broadcast(None if self.folder is None else str(self.folder))

    def move_to(self, folder: Path | None) -> None:
        """Use a run's folder, also for checkpoints that have no folder of their own."""
        self.folder = folder
        if folder is None:
            return
        for callback in self.checkpoint_callbacks:
            if getattr(callback, "dirpath", "") is None:
                callback.dirpath = str(folder / "checkpoints")  # type: ignore[attr-defined]
