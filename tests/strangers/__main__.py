"""`make strangers`: the chain before servers of other people; exit code 1 where a promise fails."""

import sys

from tests.clients.environments import NotInstalledError, python_of
from tests.clients.llmock import NEEDS as LLMOCK
from tests.strangers import local_rung, retries


def main() -> int:
    """Try each server; 0 where every promise holds."""
    is_good = True
    for name, needs, checks in (("llama.cpp", local_rung.NEEDS, local_rung.checks), ("llmock", LLMOCK, retries.checks)):
        try:
            python = python_of(name, *needs)
        except NotInstalledError as error:
            sys.stdout.write(f"FAILED  {name}: cannot be installed: {error}\n")
            is_good = False
            continue
        for promise, is_kept, seen in checks(python):
            sys.stdout.write(f"{'ok    ' if is_kept else 'FAILED'}  {name:<9}  {promise:<57}  {seen}\n")
            sys.stdout.flush()
            is_good = is_good and is_kept
    return 0 if is_good else 1


if __name__ == "__main__":
    sys.exit(main())
