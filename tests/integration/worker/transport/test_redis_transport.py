"""What Celery's transport must bear: a message that is acknowledged after its connection was given up."""

import pytest
from kombu import Connection

from worker.transport.redis_transport import Transport


def test_an_acknowledgement_without_a_connection_is_an_error_that_celery_expects(redis_url: str) -> None:
    connection = Connection(redis_url, transport=f"{Transport.__module__}:Transport")
    channel = connection.channel()
    channel.connection.client = None  # as it is left where a lost connection is given up
    channel._disconnect_pools()  # noqa: SLF001 - whatever it had is cut, and it must connect anew
    with pytest.raises(connection.connection_errors, match="the connection that this message came by is gone"):
        channel.basic_ack("a delivery")
