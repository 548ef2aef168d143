"""What producer and worker must agree on: words, rows, money, and where things are kept."""
