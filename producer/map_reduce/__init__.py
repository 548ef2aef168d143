"""Documents cut into parts that fit a model, and their answers merged, level by level."""
