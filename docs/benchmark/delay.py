#!/usr/bin/env python3
"""A longer cable: delay.py PORT TARGET_PORT MILLISECONDS passes on each byte that much later, each way, on 127.0.0.1.

Bytes under way do not wait for each other, so the bandwidth stays; only the round trip gets longer.
"""
import queue
import socket
import sys
import threading
import time

CHUNK = 256 * 1024
# Bytes on the cable, each way: far more than the bandwidth times the delay, and an end to what a slow reader piles up.
ROOM = 16 * 1024 * 1024 // CHUNK


def receive(source, cable, delay):
    while True:
        try:
            data = source.recv(CHUNK)
        except OSError:
            data = b""
        cable.put((time.monotonic() + delay, data))
        if not data:
            return


def send(cable, target):
    while True:
        due, data = cable.get()
        wait = due - time.monotonic()
        if wait > 0:
            time.sleep(wait)
        try:
            if not data:
                target.shutdown(socket.SHUT_WR)
                return
            target.sendall(data)
        except OSError:
            # The other side has gone: take what comes, so that its sender sees an end, not a full cable.
            if not data:
                return


def connect(client, target_port, delay):
    server = socket.create_connection(("127.0.0.1", target_port))
    threads = []
    for source, target in ((client, server), (server, client)):
        target.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        cable = queue.Queue(ROOM)
        threads.append(threading.Thread(target=receive, args=(source, cable, delay), daemon=True))
        threads.append(threading.Thread(target=send, args=(cable, target), daemon=True))
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    client.close()
    server.close()


def main():
    port, target_port, milliseconds = (int(it) for it in sys.argv[1:])
    with socket.create_server(("127.0.0.1", port), backlog=100) as listener:
        while True:
            client, _ = listener.accept()
            threading.Thread(target=connect, args=(client, target_port, milliseconds / 1000), daemon=True).start()


main()
