"""Clouds on loopback: each checks how a request is signed as the real one does, and refuses in its words."""
