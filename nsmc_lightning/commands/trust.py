"""Which classes a configuration may name: those of Lightning and of this package, unless the user trusts it.

Naming a class imports its module and calls it with the configuration's own arguments, so a configuration from a
stranger, or one stored in a stranger's checkpoint, could otherwise run any code. The gate is jsonargparse's own, at the
place where a name is imported: files named within files, short names, callables and objects that a module only
re-exports all pass through it.
"""

from jsonargparse import set_parsing_settings

OPTION = "--trust-config"
KNOWN = (
    "lightning.pytorch.accelerators",
    "lightning.pytorch.callbacks",
    "lightning.pytorch.loggers",
    "lightning.pytorch.plugins",
    "lightning.pytorch.profilers",
    "lightning.pytorch.strategies",
    "lightning.fabric.plugins",  # where Lightning defines most of its plugins
    "lightning.Callback",  # the parser tries it for what is given of a callback without a name
    "nsmc_lightning",
)
"""Packages whose classes any configuration may name."""


def restrict_imports(args: list[str]) -> list[str]:
    """Deny imports outside of ``KNOWN``, unless ``--trust-config`` is among ``args``; return the other ``args``.

    Only the command line can allow them: no file and no checkpoint can declare itself trusted. What jsonargparse denies
    by default (``os``, ``subprocess``, ``pickle`` and the like) stays denied to trusted configurations too. A denial
    lasts as long as the process, which reads one command line.
    """
    denied = [] if OPTION in args else ["*"]
    set_parsing_settings(import_path_denylist=denied, import_path_allowlist=list(KNOWN))
    return [arg for arg in args if arg != OPTION]
