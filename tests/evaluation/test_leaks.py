"""Test rows that are in train, by hand."""

from nsmc_lightning.evaluation.leaks import leaks


def test_rows_are_found_as_they_are_and_normalised() -> None:
    found = leaks(["굿!", "굿", "별로", "굿!"], ["굿", "굿", "별로", "굿"], ["굿!", "최고"], ["굿", "최고"])
    assert {name: mask.tolist() for name, mask in found.items()} == {
        "not in train, verbatim": [False, True, True, False],
        "in train, verbatim": [True, False, False, True],
        "not in train, normalised": [False, False, True, False],
        "in train, normalised": [True, True, False, True],
    }
