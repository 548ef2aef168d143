"""The address of a server: whether other machines reach the address, and a socket that listens there."""

import os
import socket
from ipaddress import ip_address

from models.errors import InputError

_WAITING = 2048


def is_loopback(host: str) -> bool:
    """Return whether a name or an address means this machine only.

    >>> is_loopback("127.0.0.1"), is_loopback("::1"), is_loopback("localhost"), is_loopback("0.0.0.0")
    (True, True, True, False)
    """
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def listening(host: str, port: int, *, source: str) -> socket.socket:
    """Listen at an address; port 0 is any free port. Raises InputError if the address cannot be had."""
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        listener = socket.create_server((host, port), family=family, backlog=_WAITING)
    except (OSError, ValueError) as error:  # ValueError for an impossible name: two dots in a row
        problem = f"cannot listen on {host}:{port} ({_reason(error)}); choose another --port or --host"
        raise InputError(problem, source=source) from None
    # Accepted connections inherit the option, which asyncio sets only on sockets that name their protocol. Without the
    # option, the second packet of an answer waits 40 ms for the client's acknowledgement of the first.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listener


def url_of(listener: socket.socket, host: str) -> str:
    """Return the URL of a server, with the name given for the address."""
    return f"http://{f'[{host}]' if ':' in host else host}:{listener.getsockname()[1]}"


def _reason(error: OSError | ValueError) -> str | None:
    # The system's own text repeats the address; the text for an unknown name has no number of the system's.
    if isinstance(error, ValueError):
        return "no name of a machine"
    return error.strerror if error.errno is None or error.errno < 0 else os.strerror(error.errno)
