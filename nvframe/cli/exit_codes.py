"""How trouble is told: one line on standard error that says what to do, and an exit code."""

from __future__ import annotations

import logging
import os
import sys
import traceback
import warnings
from collections.abc import Sequence
from typing import Any

import click

from nvframe.errors import NvframeError, PartialResultWarning

OK, FAILED, USAGE, PARTIAL, INTERRUPTED = 0, 1, 2, 3, 130

_SILENT = logging.NullHandler()


class Group(click.Group):
    """A click group whose commands return exit codes, and whose errors and warnings are single lines."""

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        **extra: Any,
    ) -> Any:
        """Run a command line; as `click.Group.main`."""
        # Without a handler of ours, logging prints warnings on its own account.
        logging.getLogger("nvframe").addHandler(_SILENT)
        with warnings.catch_warnings():
            _warnings_as_lines()
            code = self._guarded(args, prog_name, complete_var, **extra)
        if standalone_mode:
            sys.exit(code)
        return code

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command; a reader who closed the pipe shows here, not in the interpreter's last breath."""
        code = super().invoke(ctx)
        sys.stdout.flush()
        return code

    def _guarded(
        self, args: Sequence[str] | None, prog_name: str | None, complete_var: str | None, **extra: Any
    ) -> int:
        try:
            return super().main(args, prog_name, complete_var, standalone_mode=False, **extra) or OK
        except click.Abort:
            say("interrupted: what is stored is kept, and the same command goes on from there")
            return INTERRUPTED
        except click.ClickException as error:
            return _told_usage(error)
        except (NvframeError, OSError, ValueError, TypeError) as error:
            if os.environ.get("NVFRAME_DEBUG") == "1" or not _is_ours(error):
                raise
            say(f"error: {_sentence(error)}")
            return FAILED


def say(message: str) -> None:
    """Print one line to standard error, whatever `message` holds."""
    click.echo(f"nvframe: {one_line(message)}", err=True)


def one_line(text: object) -> str:
    r"""Return text on one line, without what could command a terminal.

    Examples
    --------
    >>> one_line("two\nlines \x1b[31mred")
    'two lines [31mred'
    """
    return "".join(c for c in " ".join(str(text).split()) if c.isprintable())


def _told_usage(error: click.ClickException) -> int:
    context = getattr(error, "ctx", None)
    command = context.command_path if context else "nvframe"
    hint = f" (try: {command} --help)" if isinstance(error, click.UsageError) else ""
    say(f"error: {error.format_message()}{hint}")
    return error.exit_code


def _sentence(error: BaseException) -> str:
    if isinstance(error, OSError) and error.strerror:
        where = f"{error.filename}: " if error.filename else ""
        return f"{where}{error.strerror}"
    return str(error) or type(error).__name__


def _is_ours(error: BaseException) -> bool:
    """Tell an error that was raised for the user from a fault in a program, which keeps its traceback."""
    if isinstance(error, NvframeError | OSError):
        return True
    *_, (frame, _) = traceback.walk_tb(error.__traceback__)
    return str(frame.f_globals.get("__name__", "")).startswith("nvframe.")


def _warnings_as_lines() -> None:
    """Show warnings meant for users, as lines; lost images are listed by the commands themselves."""

    def show(message: Warning | str, *_: Any, **__: Any) -> None:
        say(f"warning: {message}")

    warnings.simplefilter("ignore")
    warnings.simplefilter("always", UserWarning)
    warnings.simplefilter("ignore", PartialResultWarning)
    warnings.showwarning = show
