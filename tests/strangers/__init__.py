"""Servers of other people that run here from PyPI alone: `local_rung` on llama.cpp, `retries` before llmock."""
