"""A scripted Anthropic Messages API on loopback: the referee that writes down what every answer cost.

It imports nothing of models, worker or producer, so that its figures can disagree with theirs.
"""
