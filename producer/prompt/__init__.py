"""The caller's prompt: its value, its checks, its start."""
