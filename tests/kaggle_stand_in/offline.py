"""Imported when a kernel's Python starts: takes the internet away where the kernel has none.

Namespaces do so too, but not every machine permits them; and this says why it does not work.
"""

import errno
import os
import socket
import sys

LOOPBACK = {"", "localhost", "::1", "0.0.0.0", "::", socket.gethostname()}
NO_INTERNET = "this kernel has no internet"


def _is_loopback(host: object) -> bool:
    if isinstance(host, bytes):
        host = host.decode("ascii", "replace")
    return host is None or host in LOOPBACK or str(host).startswith("127.")


def _refuse(event: str, arguments: tuple) -> None:
    """An audit hook: raises where something is to be reached that is not this machine."""
    if not event.startswith("socket."):
        return
    if event in ("socket.getaddrinfo", "socket.gethostbyname"):
        if not _is_loopback(arguments[0]):
            text = f"Temporary failure in name resolution ({NO_INTERNET}: {arguments[0]})"
            raise socket.gaierror(socket.EAI_AGAIN, text)
    elif event in ("socket.connect", "socket.sendto", "socket.sendmsg"):
        address = arguments[1]
        # Text is the name of a Unix socket.
        if isinstance(address, tuple) and not _is_loopback(address[0]):
            text = f"Network is unreachable ({NO_INTERNET}: {address[0]})"
            raise OSError(errno.ENETUNREACH, text)


if os.environ.get("KAGGLE_STAND_IN_INTERNET") != "1":
    sys.addaudithook(_refuse)
