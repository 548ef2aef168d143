"""A batch enqueued: rows first, then messages. The same content under one key is bought once.

`accept` lays a batch out, `content_digest` computes the digest of its content, `send_first` sends the first messages.
`models.ledger.batches` writes the rows, and decides whether a key is new.
"""
