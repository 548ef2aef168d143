"""A batch enqueued: rows first, then messages. The same content under one key is bought once."""
