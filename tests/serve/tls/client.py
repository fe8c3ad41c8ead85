"""A TLS client that a test controls: reads commands from standard input, and prints one line for each.

Arguments: port, file with the authority, then options as KEY=VALUE: version (1.2, 1.3), step (bytes of each write to
the socket), buffer (size of the socket's buffers), cert and key (files).
"""
import fcntl
import hashlib
import random
import socket
import ssl
import sys
import termios
import time


class Client:
    def __init__(self, port, authority, options):
        self.step_size = int(options.get("step", 0))
        self.context = ssl.create_default_context(cafile=authority)
        self.context.check_hostname = False
        if "version" in options:
            version = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}[options["version"]]
            self.context.minimum_version = self.context.maximum_version = version
        if "cert" in options:
            self.context.load_cert_chain(options["cert"], options["key"])
        self.socket = socket.socket()
        self.socket.settimeout(30)
        if "buffer" in options:
            for name in (socket.SO_RCVBUF, socket.SO_SNDBUF):
                self.socket.setsockopt(socket.SOL_SOCKET, name, int(options["buffer"]))
        self.socket.connect(("127.0.0.1", port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = self.context.wrap_bio(self.incoming, self.outgoing, server_hostname="localhost")
        self.expected = b""

    def flush(self):
        data = self.outgoing.read()
        size = self.step_size or max(len(data), 1)
        for start in range(0, len(data), size):
            self.socket.sendall(data[start:start + size])

    def call(self, method, *arguments):
        """Calls a method of the session, and passes ciphertext until it returns."""
        while True:
            try:
                return method(*arguments)
            except ssl.SSLWantReadError:
                self.flush()
                data = self.socket.recv(65536)
                if data:
                    self.incoming.write(data)
                else:
                    self.incoming.write_eof()
            finally:
                # Of an error, the alert.
                try:
                    self.flush()
                except OSError:
                    pass

    def read(self):
        data = self.call(self.tls.read, 65536)
        if not data:
            raise ssl.SSLZeroReturnError("close_notify")
        return data

    def write(self, data):
        for start in range(0, len(data), 16384):
            self.call(self.tls.write, data[start:start + 16384])

    def read_exactly(self, length):
        data = b""
        while len(data) < length:
            data += self.read()
        return data

    def read_to_end(self):
        """All data, and how it ended: close_notify, fin (without close_notify) or reset."""
        data = b""
        try:
            while True:
                data += self.read()
        except ssl.SSLZeroReturnError:
            return data, "close_notify"
        except ssl.SSLEOFError:
            return data, "fin"
        except ConnectionResetError:
            return data, "reset"
        except ssl.SSLError as error:
            return data, "error " + str(error.reason)

    # The commands.

    def handshake(self):
        self.call(self.tls.do_handshake)
        return "%s %s" % (self.tls.version(), "reused" if self.tls.session_reused else "new")

    def echo(self, length):
        data = random.Random(int(length)).randbytes(int(length))
        received = b""
        for start in range(0, len(data), 30000):
            piece = data[start:start + 30000]
            self.write(piece)
            # A part is left in the session.
            received += self.read_exactly(len(piece) // 2)
        received += self.read_exactly(len(data) - len(received))
        return "echoed" if received == data else "other bytes"

    def send(self, text):
        self.write(text.encode().decode("unicode_escape").encode("latin-1"))
        return "sent"

    def expect(self, text):
        expected = text.encode().decode("unicode_escape").encode("latin-1")
        received = self.read_exactly(len(expected))
        return "received" if received == expected else repr(received)

    def fill(self):
        """Sends without reading until the server stops reading."""
        self.socket.settimeout(0.5)
        try:
            while True:
                piece = random.Random(len(self.expected)).randbytes(16384)
                self.tls.write(piece)
                self.expected += piece
                data = self.outgoing.read()
                while data:
                    data = data[self.socket.send(data):]
        except TimeoutError:
            self.rest = data
        self.socket.settimeout(30)
        return "filled"

    def drain(self):
        """Reads the echo of what fill sent."""
        self.socket.settimeout(0.01)
        received = b""
        rest = self.rest
        while rest:
            try:
                rest = rest[self.socket.send(rest):]
            except TimeoutError:
                pass
            try:
                self.incoming.write(self.socket.recv(65536))
                received += self.tls.read(65536)
            except (TimeoutError, ssl.SSLWantReadError):
                pass
        self.socket.settimeout(30)
        received += self.read_exactly(len(self.expected) - len(received))
        return "echoed" if received == self.expected else "other bytes"

    def push(self, length):
        """Sends without reading until the server has acknowledged everything."""
        self.expected = random.Random(int(length)).randbytes(int(length))
        self.write(self.expected)
        queued = b"1"
        while any(queued):
            queued = fcntl.ioctl(self.socket, termios.TIOCOUTQ, bytes(4))
            time.sleep(0.001)
        return "acknowledged"

    def rest(self):
        """Reads to the end, with pauses."""
        data = b""
        how = None
        try:
            while True:
                data += self.read()
                if len(data) % 7 == 0:
                    time.sleep(0.001)
        except ssl.SSLZeroReturnError:
            how = "close_notify"
        except (ssl.SSLError, OSError) as error:
            how = repr(error)
        return "%s, %s" % ("complete" if data == self.expected else "%d bytes" % len(data), how)

    def prefix(self):
        """Reads to the end what is left of the echo of what fill sent, of which a part was not sent."""
        data, how = self.read_to_end()
        fits = self.expected.startswith(data) and data
        return how if fits else "%d bytes, not a prefix, %s" % (len(data), how)

    def partial(self, length):
        """Sends a part of a record of this length."""
        self.socket.sendall(b"\x17\x03\x03" + int(length).to_bytes(2, "big") + b"x" * (int(length) - 1))
        return "sent"

    def close_notify(self):
        try:
            self.tls.unwrap()
        except ssl.SSLWantReadError:
            pass
        self.flush()
        return "sent"

    def unwrap(self):
        self.call(self.tls.unwrap)
        return "unwrapped"

    def fin(self):
        self.socket.shutdown(socket.SHUT_WR)
        return "sent"

    def end(self):
        data, how = self.read_to_end()
        return "%r then %s" % (data, how)

    def tail(self):
        """What follows on the socket."""
        try:
            return "%d bytes then fin" % len(self.socket.recv(100))
        except ConnectionResetError:
            return "reset"

    def serial(self):
        return hashlib.sha256(self.tls.getpeercert(True)).hexdigest()


def main():
    port, authority = int(sys.argv[1]), sys.argv[2]
    options = dict(option.split("=", 1) for option in sys.argv[3:])
    client = Client(port, authority, options)
    for line in sys.stdin:
        command, _, argument = line.rstrip("\n").partition(" ")
        try:
            method = getattr(client, command)
            result = method(argument) if argument else method()
        except (OSError, ssl.SSLError) as error:
            result = "error %s: %s" % (type(error).__name__, error)
        print(result, flush=True)


main()
