"""`stepdown job`: all that happened to a job, told in sentences.

`rows` reads the job, `story` puts its events in order, the other files word one kind of event each.
"""
