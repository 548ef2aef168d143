"""The lane of message batches: jobs with time are bought together, at half the price. See README.md."""
