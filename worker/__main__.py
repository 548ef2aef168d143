"""`python -P -m worker worker ...`: Celery's own command line with our app, whatever lies in the working folder.

`celery -A worker` looks there first, and would run a stranger's worker.py with our key in its environment.
"""

import sys

try:
    import click

    from worker.celery import app
except ImportError as error:  # half an installation, or one beside the lock
    sys.stderr.write(f"stepdown worker: {error}: install Stepdown again, with all it needs (pip install .)\n")
    sys.exit(2)

if __name__ == "__main__":
    try:
        app.start(sys.argv[1:])
    except click.ClickException as error:  # a wrong option of Celery's
        error.show()
        sys.exit(error.exit_code)
