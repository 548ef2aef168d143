"""What a job costs in CPU and memory, and how fast a file is accepted: `make bench`."""
