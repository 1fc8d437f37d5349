"""Run as a script, in new namespaces where permitted: prepares them, runs the kernel, ends as it.

The kernel is a child, because the first process of a namespace does not take every signal.
Standard input is a leash: when its other end is gone, because whoever runs the kernel was killed,
the kernel ends too.
"""

import fcntl
import os
import signal
import socket
import struct
import subprocess
import sys
import threading

GET_FLAGS, SET_FLAGS, UP = 0x8913, 0x8914, 1  # SIOCGIFFLAGS, SIOCSIFFLAGS, IFF_UP


def raise_loopback() -> None:
    """Switch 127.0.0.1 on, which a new namespace has switched off."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        answer = fcntl.ioctl(any_socket, GET_FLAGS, struct.pack("16sh14x", b"lo", 0))
        _, flags = struct.unpack("16sh14x", answer)
        fcntl.ioctl(any_socket, SET_FLAGS, struct.pack("16sh14x", b"lo", flags | UP))


def make_read_only(folder: str) -> None:
    """Nobody may write to a folder, root neither; where that is not permitted, root may."""
    bind = subprocess.run(["mount", "--bind", folder, folder], capture_output=True)
    if bind.returncode == 0:
        remount = ["mount", "-o", "remount,bind,ro", folder]
        subprocess.run(remount, capture_output=True, check=False)


def end_with_the_leash() -> None:
    """Wait until standard input ends, then end all processes of this group."""
    while os.read(0, 1):
        continue
    os.killpg(0, signal.SIGKILL)


if __name__ == "__main__":
    internet, input_folder, *command = sys.argv[1:]
    threading.Thread(target=end_with_the_leash, daemon=True).start()
    if internet == "off":
        raise_loopback()
    if input_folder:
        make_read_only(input_folder)
    code = subprocess.run(command, stdin=subprocess.DEVNULL).returncode
    sys.exit(code if code >= 0 else 128 - code)  # as a shell tells of a signal
