"""Real processes: a worker, a server, a command line, a script without a queue."""
