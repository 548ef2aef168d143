"""`python -P -m worker worker ...`: Celery's own command line with our app, whatever lies in the working folder.

`celery -A worker` looks there first, and would run a stranger's worker.py with our key in its environment.
"""

import sys

import click

from worker.celery import app

if __name__ == "__main__":
    try:
        app.start(sys.argv[1:])
    except click.ClickException as error:  # a wrong option of Celery's
        error.show()
        sys.exit(error.exit_code)
