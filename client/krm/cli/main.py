"""`krm`: the command line's way in. Each subcommand is imported when it is asked for, not before.

Exit codes, the same for every subcommand: see EXIT_CODES below, `krm --help` and docs/cli.md.
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
import warnings
from typing import List, NoReturn, Optional, Sequence, Tuple

from krm.cli.grammar import Parser
from krm.cli.options import COMMANDS, STAGES, build_parser
from krm.cli.terminal import say, survive_any_locale

COMPLETE = "__complete"  # what a shell's completion calls
OK, ERROR, USAGE, NOT_TRUSTED, FOUND, INTERRUPTED, BROKEN_PIPE, TERMINATED = 0, 1, 2, 3, 4, 130, 141, 143
EXIT_CODES: Tuple[Tuple[int, str], ...] = (
    (OK, "done, and every answer was live"),
    (ERROR, "an error, told in a sentence on stderr"),
    (USAGE, "the command line does not parse"),
    (NOT_TRUSTED, "answered or refused because a kind is not live (stale, warming, forbidden ...)"),
    (FOUND, "findings of --fail-on or above exist"),
    (INTERRUPTED, "interrupted (SIGINT)"),
    (BROKEN_PIPE, "whoever read the output went away (SIGPIPE)"),
    (TERMINATED, "terminated (SIGTERM)"),
)


def parser() -> Parser:
    """The whole grammar, with the exit codes below the help."""
    lines = "\n".join(f"  {code:>3}  {meaning}" for code, meaning in EXIT_CODES)
    return build_parser(f"exit codes:\n{lines}")


def run(argv: Sequence[str]) -> int:
    """One command; answers the exit code. argparse's own exits pass through as SystemExit."""
    if argv and argv[0] in STAGES:
        _become(argv[0], argv[1:])
    if argv and argv[0] == COMPLETE:
        from krm.cli.completion import complete

        return complete(argv[1:])
    built = parser()
    if not argv:
        built.print_help(sys.stderr)
        return USAGE
    command = built.commands.get(argv[0])
    if command is None:
        built.parse_args(list(argv))  # --help, or a usage error
        return USAGE
    # Intermixed, as kubectl takes it: `krm get pods -n web name`.
    args = command.parse_intermixed_args(list(argv[1:]))
    code: int = importlib.import_module(COMMANDS[argv[0]]).run(args)
    return code


def _become(stage: str, arguments: Sequence[str]) -> NoReturn:
    """A subcommand that is a stage replaces this process: signals and exit codes are the stage's own."""
    os.execv(sys.executable, [sys.executable, "-m", STAGES[stage][0], *arguments])  # noqa: S606


def guarded(argv: Sequence[str]) -> int:
    """`run`, with every failure told as a sentence and as an exit code."""
    from krm.client.errors import BadRequest, KrmError, NotTrusted

    try:
        code = run(argv)
        if sys.stdout is not None:
            sys.stdout.flush()
        return code
    except argparse.ArgumentTypeError as error:
        say(f"krm: {error}")
        return USAGE
    except NotTrusted as error:
        say(f"krm: {error}")
        return NOT_TRUSTED
    except BadRequest as error:
        say(f"krm: {error}")
        return USAGE
    except KrmError as error:
        say(f"krm: {error}")
        return ERROR
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        _close_quietly()
        return BROKEN_PIPE
    except OSError as error:
        say(f"krm: {error.strerror or error}" + (f": {error.filename}" if error.filename else ""))
        return ERROR


def _close_quietly() -> None:
    # The interpreter flushes stdout once more at its end, and would complain about the pipe then.
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)


def _prepare() -> None:
    survive_any_locale()
    if not sys.warnoptions:  # neither -W nor PYTHONWARNINGS asks for any
        warnings.simplefilter("ignore")  # stderr is for our sentences, not for what libraries tell developers


def entry(argv: Optional[List[str]] = None) -> NoReturn:
    """What the console script calls."""
    _prepare()
    if sys.stdout is None:
        say("krm: stdout is closed: there is nowhere to write the answer")
        sys.exit(ERROR)
    sys.exit(guarded(sys.argv[1:] if argv is None else argv))


def kubectl_complete() -> NoReturn:
    """What the script `kubectl_complete-krm` calls: kubectl asks it how `kubectl krm ...` goes on."""
    _prepare()
    sys.exit(guarded([COMPLETE, *sys.argv[1:]]))


if __name__ == "__main__":
    entry()
