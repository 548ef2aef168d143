"""A scripted Anthropic Messages API on loopback: the referee that records the cost of every answer.

The simulator imports nothing of models, worker or producer, so that its figures can disagree with theirs.
"""
