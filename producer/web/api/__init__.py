"""The routes: the provider's Messages, Message Batches and Models APIs, and ours under /api/v1."""
