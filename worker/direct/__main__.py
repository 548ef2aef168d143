"""`python -P -m worker.direct PROMPT`: the smallest direct call, for `doctor --ask`. Prints the id of its job."""

import sys

from models.errors import StepdownError
from worker.direct.call_with_fallback import call_with_fallback

if __name__ == "__main__":
    try:
        sys.stdout.write(call_with_fallback(sys.argv[1], max_tokens=1)["job_id"])
    except StepdownError as error:
        sys.stderr.write(str(error))
        sys.exit(1)
