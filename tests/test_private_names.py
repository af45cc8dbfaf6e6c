"""Private names of libraries that the package touches: all of them are listed here, each with its reason."""

import ast
from collections.abc import Iterator
from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[1] / "nsmc_lightning"
PUBLIC = {"_exit", "_asdict", "_replace", "_fields", "_make"}  # documented names that start with an underscore

# By file: each name with the version that it was read in, and why nothing public does.
TOUCHED = {
    "data/resume.py": {
        "_checkpoint_connector": "lightning 2.6: the loops' state before Lightning restores its loops from it",
        "_loaded_checkpoint": "lightning 2.6: the same",
    },
    "model/backbone.py": {"_supports_sdpa": "transformers 5.23: whether a family can use torch's attention"},
    "model/fast/attention.py": {
        "_attn_implementation": "transformers 5.23: which attention an encoder uses",
        "_softmax_backward_data": "torch 2.13: the gradient of a softmax in one pass",
    },
    "model/fast/linear.py": {"_linear_pointwise": "torch 2.13: oneDNN's matrix product"},
    "model/metrics.py": {"_apply": "torch 2.13: overridden, as sums keep their dtype where the model's changes"},
    "model/encoder_module.py": {
        "_step_supports_amp_scaling": "torch 2.13: lets a fused optimizer's gradients be clipped in mixed precision",
    },
    "model/module.py": {
        "_restricted_classmethod": "lightning 2.6: refuses to call load_from_checkpoint on an instance",
    },
    "run/loop.py": {
        "_SignalConnector": "lightning 2.6: the class of the trainer's signal handlers",
        "_batches_that_stepped": "lightning 2.6: the step number of logs",
        "_save_checkpoint": "lightning 2.6: overridden, as ModelCheckpoint has no hook before a file is written",
        "_signal_connector": "lightning 2.6: the trainer's signal handlers, replaced by none",
        "_val_check_time_interval": "lightning 2.6: the seconds between validations by the clock",
    },
}


def _is_private(name: str) -> bool:
    return name.startswith("_") and name != "_" and not name.startswith("__") and name not in PUBLIC


def _own(tree: ast.AST) -> set[str]:
    """Names that a file defines: functions, classes, attributes of self, variables."""
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names.add(node.id)
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store) and ast.unparse(node.value) == "self":
            names.add(node.attr)
    return names


def _imported(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (part for alias in node.names for part in alias.name.split("."))
        elif isinstance(node, ast.ImportFrom) and not (node.module or "").startswith("nsmc_lightning"):
            yield from (*(node.module or "").split("."), *(alias.name for alias in node.names))


def _used(tree: ast.AST, own: set[str]) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and (node.attr not in own or ast.unparse(node.value) == "super()"):
            yield node.attr


def _spelled(tree: ast.AST) -> Iterator[str]:
    """Names given as text: to ``getattr`` and its like, or as keys of a dictionary of attributes."""
    for node in ast.walk(tree):
        texts: list[ast.expr | None] = []
        if isinstance(node, ast.Call) and ast.unparse(node.func) in ("getattr", "hasattr", "setattr"):
            texts = [node.args[1]]
        elif isinstance(node, ast.Dict):
            texts = list(node.keys)
        yield from (text.value for text in texts if isinstance(text, ast.Constant) and isinstance(text.value, str))


def _overridden(tree: ast.AST) -> Iterator[str]:
    """Methods that nothing in the file calls: a base class of a library does."""
    called = {ast.unparse(node).split(".")[-1] for node in ast.walk(tree) if isinstance(node, ast.Attribute | ast.Name)}
    methods = (method for node in ast.walk(tree) if isinstance(node, ast.ClassDef) for method in node.body)
    yield from (method.name for method in methods if isinstance(method, ast.FunctionDef) and method.name not in called)


def touched(path: Path) -> set[str]:
    """The private names of libraries that a file imports, uses or overrides."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    names = {*_imported(tree), *_used(tree, _own(tree)), *_overridden(tree), *_spelled(tree)}
    return {name for name in names if _is_private(name)}


def test_every_private_name_of_a_library_is_listed_and_none_in_vain() -> None:
    found = {(path.relative_to(PACKAGE).as_posix(), name) for path in PACKAGE.rglob("*.py") for name in touched(path)}
    listed = {(file, name) for file, names in TOUCHED.items() for name in names}
    assert sorted(found - listed) == [], "use a public name, or list it with the reason"
    assert sorted(listed - found) == [], "no longer used: take it off the list"
