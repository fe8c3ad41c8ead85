#!/usr/bin/env python3
"""A new process that fails during an upgrade, or one that passes on what a real one does.

The file `mode` beside this script has how it fails. Standard input is the channel of the upgrade.
"""

import array
import json
import os
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
import zlib

HERE = os.path.dirname(os.path.abspath(sys.argv[0]))
HEADER = struct.Struct("<BBHII")
HELLO, REHEARSAL, REHEARSED, BEGIN, CONNECTIONS, RECEIVED = 1, 2, 3, 4, 5, 6
END, TAKEN, COMMIT, SERVING, FAILED = 7, 8, 9, 10, 11

mode = open(os.path.join(HERE, "mode")).read().strip()
channel = socket.socket(fileno=os.dup(0))


def message(kind, payload=b""):
    return HEADER.pack(kind, 1, 0, len(payload), zlib.crc32(payload)) + payload


def send(kind, payload=b""):
    channel.sendall(message(kind, payload))


def hello(**changes):
    fields = {
        "magic": "echoloop upgrade",
        "oldest_format": 1,
        "newest_format": 1,
        "build": "test",
        "protocol": "line",
        "max_fds": 1_000_000,
    }
    send(HELLO, json.dumps(fields | changes).encode())


def receive_bytes(count):
    data = b""
    while len(data) < count:
        # The descriptors stay open until this process ends, as those of a real one do.
        more, fds, _, _ = socket.recv_fds(channel, count - len(data), 253)
        if not more:
            sys.exit("the old process has closed the channel")
        data += more
    return data


def receive(expected=None):
    kind, _, _, length, _ = HEADER.unpack(receive_bytes(HEADER.size))
    payload = receive_bytes(length)
    assert expected in (None, kind), (expected, kind)
    return kind, payload


def rehearse():
    hello()
    send(REHEARSED, receive(REHEARSAL)[1])
    receive(BEGIN)


def take_all():
    """Receives all connections, and reports that they were taken."""
    rehearse()
    connections, digest = 0, 0
    while True:
        kind, payload = receive()
        if kind == END:
            break
        digest = zlib.crc32(payload, digest)
        send(RECEIVED)
    send(TAKEN, payload)


def wait_for_file(name):
    while not os.path.exists(os.path.join(HERE, name)):
        time.sleep(0.005)


def relay(change):
    """Passes everything between the old process and a real new one; `change` gets what the old process sends."""
    ours, theirs = socket.socketpair()
    environment = dict(os.environ, ECHOLOOP_TAKE_OVER="1")
    child = subprocess.Popen([os.path.join(HERE, "real"), *sys.argv[1:]], stdin=theirs, env=environment)
    theirs.close()
    signal.signal(signal.SIGTERM, lambda number, _: child.send_signal(number))

    def back():
        while data := ours.recv(65536):
            channel.sendall(data)
        channel.shutdown(socket.SHUT_WR)

    threading.Thread(target=back, daemon=True).start()
    while True:
        header, fds, _, _ = socket.recv_fds(channel, HEADER.size, 253)
        if not header:
            break
        while len(header) < HEADER.size:
            header += channel.recv(HEADER.size - len(header))
        kind, critical, count, length, checksum = HEADER.unpack(header)
        payload = receive_bytes(length)
        kind, payload = change(kind, payload)
        header = HEADER.pack(kind, critical, count, length, checksum)
        try:
            socket.send_fds(ours, [header], fds)
            ours.sendall(payload)
        except OSError:
            pass
        for fd in fds:
            os.close(fd)
    child.wait()


def flip(kind, payload):
    if kind == CONNECTIONS:
        middle = len(payload) // 2
        payload = payload[:middle] + bytes([payload[middle] ^ 4]) + payload[middle + 1 :]
    return kind, payload


def rename_section(kind, payload):
    return (99 if kind == BEGIN else kind), payload


if mode == "garbage":
    channel.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n" * 4)
    wait_for_file("never")
elif mode == "hang":
    wait_for_file("never")
elif mode == "formats":
    hello(oldest_format=7, newest_format=9)
    wait_for_file("never")
elif mode == "protocol":
    hello(protocol="frame:4")
    wait_for_file("never")
elif mode == "descriptors":
    hello(max_fds=3)
    wait_for_file("never")
elif mode == "rehearsal":
    hello()
    send(REHEARSED, receive(REHEARSAL)[1][:-1] + b"\xff")
    wait_for_file("never")
elif mode == "killed":
    rehearse()
    receive(CONNECTIONS)
    os.kill(os.getpid(), signal.SIGKILL)
elif mode == "register":
    rehearse()
    send(FAILED, b"cannot restore a connection: No space left on device (os error 28)")
    wait_for_file("never")
elif mode == "freeze":
    rehearse()
    open(os.path.join(HERE, "frozen"), "w").close()
    wait_for_file("never")
elif mode == "taken":
    take_all()
    receive(COMMIT)
    wait_for_file("never")
elif mode == "lost":
    take_all()
    receive(COMMIT)
    # At once, or the old process might end this one after the first.
    channel.sendall(message(RECEIVED) + message(SERVING))
elif mode == "silent":
    take_all()
    receive(COMMIT)
    send(SERVING)
    channel.recv(1)
elif mode == "unread":
    rehearse()
    wait_for_file("never")
elif mode == "flip":
    relay(flip)
elif mode == "section":
    relay(rename_section)
elif mode == "pause":

    def pause(kind, payload):
        if kind == BEGIN:
            open(os.path.join(HERE, "frozen"), "w").close()
            wait_for_file("continue")
        return kind, payload

    relay(pause)
else:
    sys.exit(f"no such mode: {mode}")
