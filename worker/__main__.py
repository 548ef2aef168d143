"""`python -P -m worker worker ...`: Celery's own command line with our app, from any working folder.

`celery -A worker` looks in the working folder first, and would run a stranger's worker.py with our key.
"""

import sys

try:
    import click

    from worker.celery import app
except ImportError as error:  # half an installation, or versions other than the lock's
    sys.stderr.write(f"stepdown worker: {error}: install Stepdown again, with all it needs (pip install .)\n")
    sys.exit(2)

if __name__ == "__main__":
    try:
        app.start(sys.argv[1:])
    except click.ClickException as error:  # a wrong option of Celery's
        error.show()
        sys.exit(error.exit_code)
