"""`python -P -m worker worker ...`: Celery's own command line with our app, from any working folder.

`celery -A worker` looks in the working folder first, and would run a stranger's worker.py with our key.
"""

import sys

try:
    import click
    from celery.bin.base import CLIContext
    from celery.bin.worker import worker

    from worker.celery import app
except ImportError as error:  # half an installation, or versions other than the lock's
    sys.stderr.write(f"stepdown worker: {error}: install Stepdown again, with all it needs (pip install .)\n")
    sys.exit(2)

_WORKER = "worker"


def _start(arguments: list[str]) -> None:
    if arguments[:1] != [_WORKER]:
        app.start(arguments)
        return
    # Celery's whole command line loads Flower and each other plugin: ten MB that no worker needs.
    context = CLIContext(app=app, no_color=None, workdir=None)
    worker.main(arguments[1:], prog_name=_WORKER, obj=context, standalone_mode=False)


if __name__ == "__main__":
    try:
        _start(sys.argv[1:])
    except click.ClickException as error:  # a wrong option of Celery's
        error.show()
        sys.exit(error.exit_code)
