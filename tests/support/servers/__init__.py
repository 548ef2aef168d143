"""Real servers for tests: each in a process of its own, on loopback, with a password, ended by its id."""
