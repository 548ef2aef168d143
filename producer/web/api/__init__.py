"""The routes: the provider's Messages and Message Batches APIs, and ours under /api/v1."""
