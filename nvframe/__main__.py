"""``python -m nvframe`` is the ``nvframe`` command."""

from __future__ import annotations

from nvframe.cli import main

if __name__ == "__main__":
    main()
