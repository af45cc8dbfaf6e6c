"""``python -m nsmc_lightning``."""

from nsmc_lightning.cli import main

if __name__ == "__main__":
    main()
