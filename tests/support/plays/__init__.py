"""Parts of a worker in memory, on clocks that a test sets."""
