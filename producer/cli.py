"""`stepdown`: reads the command line, calls the function of a command, and turns the end into an exit code."""

import sys
from typing import Annotated

import typer

from models import errors
from producer.commands import batches, job_actions, ledger_upkeep, prices, processes
from producer.commands import ledger as questions
from producer.commands.chain import chain, whatif
from producer.commands.estimate import estimate
from producer.commands.options import WholeSummaries, print_version
from producer.commands.reconcile import reconcile
from producer.commands.submit import submit
from producer.output.terminal import hint, prepare_streams
from producer.running.signals import resend_dropped_signals

app = typer.Typer(
    name="stepdown",
    cls=WholeSummaries,
    help="A queue that answers prompts with the cheapest model that will do, and keeps an exact receipt.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # rich would take half the time of --help
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 10_000},  # the terminal is the bound
)


@app.callback()
def _any_command(
    _version: Annotated[
        bool, typer.Option("--version", callback=print_version, is_eager=True, help="print the version, and end")
    ] = False,
) -> None:
    """Take the options that stand before a command."""


def main() -> None:
    """Run one command. Exit codes: 0 all succeeded, 1 some failed, 2 usage, 3 money cap, 4 unreachable, 5 no price."""
    prepare_streams()
    resend_dropped_signals()
    try:
        try:
            app()
        finally:
            sys.stdout.flush()
    except (errors.StepdownError, TimeoutError) as error:
        hint(f"stepdown: {error}")
        sys.exit(errors.exit_code(error))
    except KeyboardInterrupt:
        sys.exit(errors.INTERRUPTED)
    except (SystemExit, BrokenPipeError) as end:
        # `stepdown results ... | head` is no error, though Click would exit with 1 and Python with 120.
        if isinstance(end, SystemExit) and not isinstance(end.__context__, BrokenPipeError):
            raise
        sys.stdout = sys.stderr
        sys.exit(errors.OK)
    except OSError as error:  # a command that writes elsewhere reports its own errors
        sys.stdout = sys.stderr
        hint(f"stepdown: what it has to say cannot be written ({error.strerror})")
        sys.exit(errors.USAGE)


# --help lists the commands in the order of a job's life.
_IN_ORDER = (
    *(submit, batches.watch, batches.status, batches.ls, batches.results, batches.show, batches.job, processes.doctor),
    *(job_actions.cancel, job_actions.retry, job_actions.release, job_actions.drop, job_actions.purge),
    *(estimate, whatif, processes.flower, processes.serve, processes.demo, processes.mcp),
)
for _command in _IN_ORDER:
    app.command()(_command)
_PASS_ON = {"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []}
for _process in (processes.worker, processes.simulate):
    app.command(context_settings=_PASS_ON)(_process)
_db = typer.Typer(cls=WholeSummaries, help="The ledger's schema.", no_args_is_help=True)
_ledger = typer.Typer(cls=WholeSummaries, help="What everything cost.", no_args_is_help=True)
for _group, _commands in (
    (_db, (ledger_upkeep.analyst, ledger_upkeep.upgrade)),
    (_ledger, (questions.report, questions.sql, questions.export)),
    (_ledger, (ledger_upkeep.reprice, reconcile, ledger_upkeep.rebuild)),
):
    for _command in _commands:
        _group.command()(_command)
for _group, _name in ((_db, "db"), (_ledger, "ledger"), (prices.prices, "prices"), (chain, "chain")):
    app.add_typer(_group, name=_name)
