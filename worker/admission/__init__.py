"""Admission control: whether a request may leave now. See README.md."""
