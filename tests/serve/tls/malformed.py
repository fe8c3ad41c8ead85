"""Malformed handshakes and records against a server: malformed.py PORT PORT_WITH_TIMEOUT [NAME...].

The server of the second port has a handshake timeout of 1 s, that of the first a long one: a case that must end with an
error fails if the server waits for the timeout instead. The cases are in malformed_cases.py. Prints a line for each case
that deviates, then one with the numbers of all; exits with 1 if a case deviates.
"""
import collections
import concurrent.futures
import socket
import sys

from tlslite.api import HandshakeSettings, TLSConnection
from tlslite.constants import AlertDescription, AlertLevel, ContentType, KeyUpdateMessageType
from tlslite.errors import BaseTLSException, TLSAbruptCloseError, TLSRemoteAlert
from tlslite.messages import Alert, Message

from malformed_cases import CASES, CLOSE, ECHO, ENDS, TIMEOUT

# Only a failing case waits that long.
PATIENCE = 20
HANDSHAKE_MESSAGES = {1: "hello", 16: "key exchange", 20: "finished", 24: "key update"}
NOT_APPLIED = "the connection ended before the change"
FIRST, MIDDLE, LAST = b"first " * 20, b"middle " * 50, b"last " * 30


class Cut(Exception):
    """The case ends with FIN of the client."""


class Client(TLSConnection):
    """A client that changes one message: its bytes, its records, or the ciphertext of these."""

    def __init__(self, raw, case):
        super().__init__(raw)
        self.raw, self.case = raw, case
        self.closeSocket = False
        self.counts = collections.Counter()
        self.sent = bytearray()
        self.held = None
        self.is_target = self.is_applied = False
        self._recordLayer._recordSocket.send = self.send_record

    def name_of(self, kind, content):
        """As CASES name messages: the second `hello` follows a HelloRetryRequest, the second `data` a complete echo."""
        names = {ContentType.change_cipher_spec: "ccs", ContentType.alert: "alert", ContentType.application_data: "data"}
        name = names.get(kind) or HANDSHAKE_MESSAGES[content[0]]
        self.counts[name] += 1
        return "%s %d" % (name, self.counts[name])

    def _sendMsg(self, msg, randomizeFirstBlock=True, update_hashes=True):
        kind, content = msg.contentType, bytes(msg.write())
        self.is_target = not self.is_applied and self.name_of(kind, content) == self.case.message
        records = [(kind, content)]
        if self.is_target:
            self.is_applied = True
            content = self.case.rewrite(content)
            records = self.case.records(kind, content)
        if kind == ContentType.handshake:
            self._handshake_hash.update(content)
        for kind, content in records:
            if kind == ContentType.application_data:
                self.sent += content
            yield from self._sendMsgThroughSocket(Message(kind, content))
        self.is_target = False

    def send_record(self, message, padding=0):
        """Sends a record; with `held`, after the next one."""
        content = bytes(message.write())
        version = self._recordLayer._recordSocket.version
        record = bytes([message.contentType, *version, *len(content).to_bytes(2, "big")]) + content
        chunks = self.case.wire(record) if self.is_target else [record]
        if self.is_target and self.case.is_swapped:
            self.held, chunks = record, []
        elif self.held:
            chunks, self.held = [*chunks, self.held], None
        for chunk in chunks:
            if chunk is CLOSE:
                raise Cut
            self.raw.sendall(chunk)
        return iter(())

    def run(self, generator):
        for _ in generator:
            pass

    def read_exactly(self, count):
        return self.read(max=count, min=count)

    def converse(self, received):
        """A handshake, then data; appends each echo to `received`, and returns after the server's close_notify."""
        settings = HandshakeSettings()
        settings.minVersion = settings.maxVersion = (3, 3) if self.case.version == "1.2" else (3, 4)
        settings.versions = [settings.maxVersion]
        settings.eccCurves = ["secp256r1", "x25519"]
        settings.keyShares = [] if self.case.version == "1.3 retry" else ["x25519"]
        settings.usePaddingExtension = False
        # In TLS 1.2, records of AES-GCM begin with the sequence number. A server that misses the change_cipher_spec reads
        # a HelloRequest there; with ChaCha20 it reads a random length, and in one of 256 handshakes waits for the rest.
        settings.cipherNames = ["aes256gcm"]
        self.handshakeClientCert(settings=settings, serverName="localhost")
        self.write(FIRST)
        received += self.read_exactly(len(FIRST))
        if self.case.after_echo:
            self.is_applied = True
            self.case.after_echo(self)
        self.write(MIDDLE)
        if self.version == (3, 4):
            self.run(self.send_keyupdate_request(KeyUpdateMessageType.update_requested))
        self.write(LAST)
        self.run(self._sendMsg(Alert().create(AlertDescription.close_notify, AlertLevel.warning)))
        if self.case.message == "alert 1":
            self.raw.shutdown(socket.SHUT_WR)
        while not self.closed:
            received += self.read(min=1)


def read_to_end(raw):
    """Reads until the server closes; how it does."""
    try:
        while raw.recv(65536):
            pass
    except ConnectionError:
        return "RST"
    return "FIN"


def outcome_of(case, port):
    """What the server did, as one of the words of CASES or as text, and details."""
    with socket.create_connection(("127.0.0.1", port), PATIENCE) as raw:
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        client, received, detail = Client(raw, case), bytearray(), ""
        try:
            try:
                client.converse(received)
                detail = "close_notify"
            except Cut:
                raw.shutdown(socket.SHUT_WR)
                detail = "closed by the client"
            except TLSRemoteAlert as alert:
                detail = "alert %s" % AlertDescription.toStr(alert.description)
            except (BaseTLSException, ConnectionError) as error:
                detail = "%s %s" % (type(error).__name__, error)
            closed_with = read_to_end(raw)
        except TimeoutError:
            return "the server is silent", detail
    received += client._readBuffer
    if not client.sent.startswith(received):
        return "a wrong echo", detail
    if not client.is_applied:
        return NOT_APPLIED, detail
    if detail == "close_notify" and received == client.sent:
        return ECHO, detail
    return ENDS, "%s, %s" % (detail, closed_with)


def run(number):
    case = CASES[number]
    port = int(sys.argv[2] if case.expected == TIMEOUT else sys.argv[1])
    try:
        outcome, detail = outcome_of(case, port)
        while case.expected == TIMEOUT and outcome == NOT_APPLIED:
            # On a busy machine the timeout may be over before the message.
            outcome, detail = outcome_of(case, port)
    except Exception as error:
        return False, "%s: %s %s" % (case.name, type(error).__name__, error)
    # The log of the server with the timeout shows how each of its connections ended.
    expected = ENDS if case.expected == TIMEOUT else case.expected
    return outcome == expected, "%s: %s (%s), expected: %s" % (case.name, outcome, detail, case.expected)


def main():
    assert len({case.name for case in CASES}) == len(CASES), "two cases have the same name"
    wanted = [number for number, case in enumerate(CASES) if not sys.argv[3:] or case.name in sys.argv[3:]]
    # Those with a timeout wait most of the time.
    wanted.sort(key=lambda number: CASES[number].expected != TIMEOUT)
    with concurrent.futures.ProcessPoolExecutor(8) as pool:
        results = list(pool.map(run, wanted))
    for is_fine, line in results:
        if not is_fine or sys.argv[3:]:
            print("" if is_fine else "FAILED ", line, sep="")
    counts = collections.Counter(CASES[number].expected for number in wanted)
    print("%d cases: echo %d, ended %d, timeout %d" % (len(wanted), counts[ECHO], counts[ENDS], counts[TIMEOUT]))
    return 0 if all(is_fine for is_fine, _ in results) else 1


if __name__ == "__main__":
    sys.exit(main())
