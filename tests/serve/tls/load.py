"""Clients of an echo server over TLS: some stay connected and echo, others connect again for each echo.

Arguments: port, file with the authority, number of clients that stay. Prints "established", and at the line "stop" what
was done, with the number of failures.
"""
import socket
import ssl
import sys
import threading

port, authority, count = int(sys.argv[1]), sys.argv[2], int(sys.argv[3])
stop = threading.Event()
lock = threading.Lock()
counts = {"echoes": 0, "connections": 0, "failures": 0}


def add(name):
    with lock:
        counts[name] += 1


def fail(what, error):
    print("%s: %s: %s" % (what, type(error).__name__, error), file=sys.stderr)
    add("failures")


def connect():
    # A context without sessions: each handshake is complete.
    context = ssl.create_default_context(cafile=authority)
    plain = socket.create_connection(("127.0.0.1", port), timeout=30)
    tls = context.wrap_socket(plain, server_hostname="localhost")
    add("connections")
    return tls


def echo(tls, number):
    message = b"%020d" % number
    tls.sendall(message)
    received = b""
    while len(received) < len(message):
        piece = tls.recv(100)
        if not piece:
            raise ConnectionError("ended after %d bytes" % len(received))
        received += piece
    if received != message:
        raise ValueError("other bytes")
    add("echoes")


def stay(barrier):
    try:
        tls = connect()
        echo(tls, 0)
        barrier.wait()
        number = 1
        while not stop.is_set():
            echo(tls, number)
            number += 1
            stop.wait(0.02)
        tls.unwrap()
    except Exception as error:
        fail("a client that stays", error)
        barrier.abort()


def come_and_go():
    number = 0
    while not stop.is_set():
        try:
            tls = connect()
            echo(tls, number)
            tls.unwrap()
            tls.close()
        except Exception as error:
            fail("a client that connects again", error)
        number += 1


barrier = threading.Barrier(count + 1)
threads = [threading.Thread(target=stay, args=(barrier,)) for _ in range(count)]
for thread in threads:
    thread.start()
barrier.wait()
others = [threading.Thread(target=come_and_go) for _ in range(2)]
for thread in others:
    thread.start()
print("established", flush=True)
sys.stdin.readline()
stop.set()
for thread in threads + others:
    thread.join()
print("%(echoes)d echoes, %(connections)d connections, %(failures)d failures" % counts, flush=True)
