"""`stepdown job`: all that happened to a job, told in sentences."""
