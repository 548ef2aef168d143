"""A prompt as the caller wrote it: its value, its checks, the rung it starts on."""
