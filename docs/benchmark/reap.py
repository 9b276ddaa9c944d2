#!/usr/bin/env python3
"""Runs a server whose processor time can be told: reap.py FILE COMMAND... writes both process ids to FILE.

An sshd that ends a session leaves what runs in it to others. Here they are taken in, so that the times of both processes
and of their children, as /proc/PID/stat has them, are all that the server has used.
"""
import ctypes
import os
import signal
import subprocess
import sys

PR_SET_CHILD_SUBREAPER = 36


def main():
    if ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl")
    server = subprocess.Popen(sys.argv[2:])
    signal.signal(signal.SIGTERM, lambda *_: server.terminate())
    with open(sys.argv[1], "w", encoding="ascii") as file:
        file.write(f"{os.getpid()} {server.pid}\n")
    while os.wait()[0] != server.pid:
        pass


main()
