"""compare: whether two tested models differ by more than chance."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import TYPE_CHECKING

from nsmc_lightning.commands.imports import importing
from nsmc_lightning.commands.parser import Parser
from nsmc_lightning.errors import UserError, reason

if TYPE_CHECKING:
    import pandas as pd

    from nsmc_lightning.evaluation.bootstrap import Interval
    from nsmc_lightning.evaluation.paired import Agreement

_LEVEL = 0.05  # of McNemar's test; the interval has 1 - 0.05
_SHOWN = 40  # characters of a text in an error


def run(args: list[str]) -> None:
    """Compare two files of test predictions row by row, and print what differs.

    Raises:
        UserError: a file is missing or no file of test predictions, or the files have different rows.
    """
    options = _parser().parse_args(args[1:])
    output = None if options.output is None else Path(options.output)
    if output is not None and output.suffix.lower() != ".tsv":
        raise UserError(f"--output {output}: the rows are written as TSV; give a name that ends in .tsv.")
    with importing():
        from nsmc_lightning.commands.prediction_file import file_of_test, read_predictions
    files = [file_of_test(given) for given in (options.first, options.second)]
    first, second = (read_predictions(file) for file in files)
    _refuse_other_rows(first, second)
    rows = _predicted_rows(first, second)
    print(f"A  {files[0]}\nB  {files[1]}")
    _print_comparison(rows)
    if output is not None:
        _write_disagreements(rows, output)


def _refuse_other_rows(first: pd.DataFrame, second: pd.DataFrame) -> None:
    for row, (a, b) in enumerate(zip(_cells(first), _cells(second), strict=False), start=1):
        for name, ours, theirs in zip(("id", "text", "target"), a, b, strict=True):
            if ours != theirs:
                raise UserError(
                    f"row {row}: the {name} is {_short(ours)} in A and {_short(theirs)} in B.\nOnly tests of the same "
                    "rows in the same order can be compared: test both models on one corpus."
                )
    if len(first) != len(second):
        shorter, longer = ("A", "B") if len(first) < len(second) else ("B", "A")
        least = min(len(first), len(second))
        raise UserError(
            f"row {least + 1}: {shorter} ends at row {least}, and {longer} has {max(len(first), len(second))}.\nOnly "
            "tests of the same rows can be compared: test both models on one corpus."
        )


def _cells(table: pd.DataFrame) -> zip[tuple[str, ...]]:
    return zip(table["id"], table["text"], table["target"], strict=True)


def _short(text: str) -> str:
    return repr(text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…")


def _predicted_rows(first: pd.DataFrame, second: pd.DataFrame) -> pd.DataFrame:
    """Join two tables of the same rows, without those that neither test predicted (``limit_test_batches``)."""
    from nsmc_lightning.commands.prediction_file import probability_columns

    has_a, has_b = first["label"] != "", second["label"] != ""
    if (has_a != has_b).any():
        row = int((has_a != has_b).to_numpy().argmax())
        only = "A" if has_a.iloc[row] else "B"
        raise UserError(
            f"row {row + 1}: only {only} has a prediction for it.\nTest both models on all rows, without "
            "--trainer.limit_test_batches."
        )
    if not has_a.any():
        raise UserError("neither file has a prediction: test the models again.")
    rows = first[["id", "text", "target"]].assign(label_A=first["label"], label_B=second["label"])[has_a]
    for name, table in (("A", first), ("B", second)):
        rows[f"probability_{name}"] = table.loc[has_a, probability_columns(table)].max(axis=1)
    return rows


def _print_comparison(rows: pd.DataFrame) -> None:
    from nsmc_lightning.data.split import normalise_for_matching
    from nsmc_lightning.evaluation.bootstrap import cluster_numbers
    from nsmc_lightning.evaluation.paired import difference, mcnemar

    first, second = ((rows[f"label_{name}"] == rows["target"]).to_numpy() for name in "AB")
    clusters = cluster_numbers(rows["text"].map(normalise_for_matching).to_numpy())
    agreement = mcnemar(first, second)
    by, interval = difference(first, second, clusters)
    print(f"{len(rows):,} rows with {clusters.max() + 1:,} different texts\n")
    print(f"accuracy of A   {100 * first.mean():6.2f} %\naccuracy of B   {100 * second.mean():6.2f} %")
    print(f"A - B           {100 * by:+6.2f} points, 95 % interval {_points(interval)}\n")
    print(_disagreement_table(agreement))
    print(f"\nMcNemar's exact test: p = {agreement.p_value:.3g}\n{verdict(by, interval, agreement)}")
    print("This is about these two models: with another seed, either may differ (see `repeat`).")


def _points(interval: Interval) -> str:
    return f"{100 * interval.low:+.2f} to {100 * interval.high:+.2f}"


def _disagreement_table(agreement: Agreement) -> str:
    return "\n".join(
        (
            f"{'':<10}{'B right':>10}{'B wrong':>10}",
            f"{'A right':<10}{agreement.both:>10,}{agreement.only_first:>10,}",
            f"{'A wrong':<10}{agreement.only_second:>10,}{agreement.neither:>10,}",
        )
    )


def verdict(by: float, interval: Interval, agreement: Agreement) -> str:
    """Return whether the difference is larger than chance, in a sentence.

    Args:
        by: accuracy of A minus that of B.
        interval: of that, by a bootstrap over equal texts.
        agreement: of the same rows.
    """
    if agreement.only_first == agreement.only_second == 0:
        return "A and B have the same rows right."
    better = "A" if by > 0 else "B"
    outside, unlikely = not interval.low <= 0 <= interval.high, agreement.p_value < _LEVEL
    if outside and unlikely:
        return f"{better} is better, by more than chance explains."
    if outside or unlikely:
        return f"{better} may be better, but the interval and the test disagree: take it as undecided."
    return "The difference is not larger than chance explains."


def _write_disagreements(rows: pd.DataFrame, output: Path) -> None:
    from nsmc_lightning.files import whole_file

    chosen = rows[rows["label_A"] != rows["label_B"]]
    try:
        with whole_file(output) as partial:
            chosen.to_csv(partial, index=False, sep="\t", quoting=csv.QUOTE_NONNUMERIC)
    except OSError as error:
        raise UserError(f"--output {output}: cannot be written ({reason(error)}).") from error
    print(f"{output}: the {len(chosen):,} rows with different labels")


def _parser() -> Parser:
    parser = Parser(
        prog="python -m nsmc_lightning compare",
        description="Compare the test predictions of two models row by row: the difference in accuracy with an "
        "interval, McNemar's test, and whether it is larger than chance.",
        allow_abbrev=False,
    )
    for name, meta in (("first", "A"), ("second", "B")):
        parser.add_argument(name, metavar=meta, help="a run's folder, a checkpoint of it, or a file that test wrote")
    parser.add_argument("--output", metavar="FILE.tsv", help="file for the rows to which A and B give different labels")
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    return parser
