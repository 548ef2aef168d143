"""The commands of `stepdown`, a function each. Nothing heavy is imported at the top of a file."""
