"""What all processes of a run do together stands ahead of what the first does alone: behind it, that one would wait."""

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "nsmc_lightning"
FUNCTIONS = [
    pytest.param(function, id=f"{path.relative_to(PACKAGE)}:{function.name}")
    for path in sorted(PACKAGE.rglob("*.py"))
    for function in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
    if isinstance(function, ast.FunctionDef)
    and any(word in ast.unparse(function) for word in ("is_global_zero", "global_rank", "rank_zero_only"))
]
TOGETHER = ("trainer.log_dir", "strategy.reduce", "strategy.broadcast", "strategy.barrier", "strategy.all_gather",
            "torch.distributed.", ".compute", "save_checkpoint", "_gather")  # fmt: skip


@pytest.mark.parametrize("function", FUNCTIONS)
def test_nothing_that_all_processes_do_stands_behind_a_question_of_rank(function: ast.FunctionDef) -> None:
    if any(ast.unparse(decorator) == "rank_zero_only" for decorator in function.decorator_list):
        alone = function.lineno
    else:
        asked = [node for node in ast.walk(function) if isinstance(node, ast.If | ast.IfExp)]
        asked = [node for node in asked if "is_global_zero" in (test := ast.unparse(node.test)) or "rank" in test]
        alone = min((node.lineno for node in asked), default=function.end_lineno + 1)
    calls = [node for node in ast.walk(function) if isinstance(node, ast.Attribute)]
    together = [node for node in calls if any(word in ast.unparse(node) for word in TOGETHER)]
    assert [ast.unparse(node) for node in together if node.lineno >= alone] == []
