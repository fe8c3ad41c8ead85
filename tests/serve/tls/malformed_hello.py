"""A ClientHello in parts, changes of it, and records in place of it or after the handshake, for malformed_cases.py."""
from tlslite.constants import ContentType
from tlslite.messages import Message

HANDSHAKE, DATA, CCS, ALERT = (
    ContentType.handshake, ContentType.application_data, ContentType.change_cipher_spec, ContentType.alert)


def number(value, size=2):
    return value.to_bytes(size, "big")


def vector(content, size=2):
    return number(len(content), size) + content


def record(kind, content, version=b"\x03\x03"):
    return bytes([kind]) + version + vector(content)


def message(kind, content):
    return bytes([kind]) + vector(content, 3)


class Hello:
    """The fields of a ClientHello (RFC 8446, 4.1.2)."""

    def __init__(self, content):
        self.version, self.random = content[4:6], content[6:38]
        rest = content[38:]
        self.session, rest = rest[1:1 + rest[0]], rest[1 + rest[0]:]
        count = int.from_bytes(rest[:2], "big")
        self.suites, rest = rest[2:2 + count], rest[2 + count:]
        self.compression, rest = rest[1:1 + rest[0]], rest[3 + rest[0]:]
        self.tail = b""
        self.extensions = []
        while rest:
            end = 4 + int.from_bytes(rest[2:4], "big")
            self.extensions.append((int.from_bytes(rest[:2], "big"), rest[4:end]))
            rest = rest[end:]

    def content(self):
        extensions = b"".join(number(kind) + vector(content) for kind, content in self.extensions)
        return message(1, self.version + self.random + vector(self.session, 1) + vector(self.suites)
                       + vector(self.compression, 1) + vector(extensions) + self.tail)

    def offset_of(self, name):
        """Offset and size of a length; an extension has the name of its type, its first list that name and `list`."""
        offset = 38
        for field, content, size in (("session id", self.session, 1), ("cipher suites", self.suites, 2),
                                     ("compression methods", self.compression, 1)):
            if name == field:
                return offset, size
            offset += size + len(content)
        if name == "extensions":
            return offset, 2
        offset += 2
        for kind, content in self.extensions:
            if name == "extension %d" % kind:
                return offset + 2, 2
            if name == "list of extension %d" % kind:
                return offset + 4, 1 if kind in (9, 11, 27, 43, 45) else 2
            # The type of the first name, or the group of the first key share, is between.
            if name == "element of extension %d" % kind:
                return offset + {0: 7, 51: 8}[kind], 2
            offset += 4 + len(content)
        raise KeyError(name)


def with_fields(**fields):
    """Replaces fields; a function is called with the old value."""
    def rewrite(content):
        hello = Hello(content)
        for name, value in fields.items():
            setattr(hello, name, value(getattr(hello, name)) if callable(value) else value)
        return hello.content()
    return rewrite


def size_of(extensions):
    return sum(4 + len(content) for _, content in extensions)


def with_extension(kind, content):
    """Replaces or appends an extension; `content` may be a function of the old content."""
    def change(extensions):
        old = dict(extensions).get(kind, b"")
        new = content(old) if callable(content) else content
        if kind in dict(extensions):
            return [(each, new if each == kind else value) for each, value in extensions]
        return [*extensions, (kind, new)]
    return with_fields(extensions=change)


def without_extension(kind):
    return with_fields(extensions=lambda all: [each for each in all if each[0] != kind])


def with_length_of(name, change):
    """Changes a length, and nothing else."""
    def rewrite(content):
        offset, size = Hello(content).offset_of(name)
        old = int.from_bytes(content[offset:offset + size], "big")
        return content[:offset] + number(change(old, size) % 256 ** size, size) + content[offset + size:]
    return rewrite


LENGTHS = {
    "too long by one": lambda old, size: old + 1,
    "too short by one": lambda old, size: old - 1,
    "as large as possible": lambda old, size: 256 ** size - 1,
}
FIELDS = ["session id", "cipher suites", "compression methods", "extensions"]
EXTENSIONS = {"1.2": [0, 10, 11, 13], "1.3": [0, 10, 13, 43, 45, 51]}


def length_rewrites(version):
    """Name and rewrite of each changed length."""
    fields = FIELDS + ["%s %d" % (what, kind) for what in ("extension", "list of extension") for kind in EXTENSIONS[version]]
    fields += ["element of extension %d" % kind for kind in (0, 51) if kind in EXTENSIONS[version]]
    for field in fields:
        for change, function in LENGTHS.items():
            yield "length of %s %s" % (field, change), with_length_of(field, function)


def named(*names):
    return vector(b"".join(bytes([kind]) + vector(name) for kind, name in names))


def key_share(group, key):
    return vector(number(group) + vector(key))


# Rewrites of both versions' ClientHello that the server rejects.
REJECTED = {
    "no cipher suites": with_fields(suites=b""),
    "odd length of cipher suites": with_fields(suites=lambda suites: suites + b"\0"),
    "unknown cipher suites only": with_fields(suites=b"\xfa\xfa\xfb\xfb"),
    "cipher suites without encryption": with_fields(suites=b"\0\1\0\2"),
    "32,767 cipher suites": with_fields(suites=lambda suites: suites + b"\xfa\xfa" * (32767 - len(suites) // 2)),
    "no compression methods": with_fields(compression=b""),
    "compression only": with_fields(compression=b"\1"),
    "session id of 33 bytes": with_fields(session=bytes(33)),
    "no extensions": with_fields(extensions=[]),
    "bytes after the extensions": with_fields(tail=b"\0"),
    "64 KiB of extensions": with_fields(extensions=lambda all: [*all, (0xfaaa, bytes(65535 - 4 - size_of(all)))]),
    "an extension twice": with_fields(extensions=lambda all: [*all, all[0]]),
    "an unknown extension twice": with_fields(extensions=lambda all: [*all, (0xfaaa, b""), (0xfaaa, b"")]),
    "no signature algorithms": with_extension(13, vector(b"")),
    "unknown signature algorithms only": with_extension(13, vector(b"\xfa\xfa")),
    "signature algorithms of RSA only": with_extension(13, vector(b"\x08\x04")),
    "no extension of signature algorithms": without_extension(13),
    "no groups": with_extension(10, vector(b"")),
    "unknown groups only": with_extension(10, vector(b"\xfa\xfa")),
    "empty server name": with_extension(0, named((0, b""))),
    "no server name in the list": with_extension(0, vector(b"")),
    "server name with a null byte": with_extension(0, named((0, b"local\0host"))),
    "two server names": with_extension(0, named((0, b"localhost"), (0, b"localhost"))),
    "application protocol without a name": with_extension(16, vector(vector(b"", 1))),
    "no application protocols in the list": with_extension(16, vector(b"")),
    "pre-shared key that is not the last extension": with_fields(
        extensions=lambda all: [(41, vector(vector(b"t" * 32) + bytes(4)) + vector(vector(bytes(32), 1))), *all]),
}
REJECTED_12 = {
    "version of SSL 3.0": with_fields(version=b"\3\0"),
    "version of TLS 1.0": with_fields(version=b"\3\1"),
    "version of TLS 1.1": with_fields(version=b"\3\2"),
    "version of SSL 2.0": with_fields(version=b"\0\2"),
    "version 0": with_fields(version=b"\0\0"),
}
REJECTED_13 = {
    "no supported versions": with_extension(43, vector(b"", 1)),
    "old supported versions only": with_extension(43, vector(b"\3\0\3\1\3\2", 1)),
    "unknown supported versions only": with_extension(43, vector(b"\x7f\x1c\xfa\xfa", 1)),
    "two compression methods": with_fields(compression=b"\1\0"),
    "no extension of key shares": without_extension(51),
    "no extension of groups": without_extension(10),
    "key share of 31 bytes": with_extension(51, key_share(29, b"k" * 31)),
    "key share of 33 bytes": with_extension(51, key_share(29, b"k" * 33)),
    "empty key share": with_extension(51, key_share(29, b"")),
    "key share of zeros": with_extension(51, key_share(29, bytes(32))),
    "two key shares of a group": with_extension(51, lambda old: vector(old[2:] + old[2:])),
    "point that is not on the curve": with_extension(51, key_share(23, b"\4" + b"\xff" * 64)),
    "point in compressed form": with_extension(51, key_share(23, b"\2" + b"k" * 32)),
    "point at infinity": with_extension(51, key_share(23, b"\0")),
    "pre-shared key without modes": with_fields(
        extensions=lambda all: [each for each in all if each[0] != 45]
        + [(41, vector(vector(b"t" * 32) + bytes(4)) + vector(vector(bytes(32), 1)))]),
    "pre-shared key without a binder": with_extension(41, vector(vector(b"t" * 32) + bytes(4)) + vector(b"")),
}
KEY_EXCHANGES = {
    "no key": message(16, b""),
    "an empty key": message(16, b"\0"),
    "a key longer than the message": message(16, b"\x41\4"),
    "a key of zeros": message(16, vector(bytes(32), 1)),
    "a point that is not on the curve": message(16, vector(b"\4" + b"\xff" * 64, 1)),
    "a point in compressed form": message(16, vector(b"\2" + b"k" * 32, 1)),
}
# Rewrites that are no error.
ACCEPTED = {
    "unknown extension": with_extension(0xfaaa, b"content"),
    "unknown extension of 60,000 bytes": with_extension(0xfaaa, bytes(60000)),
    "1,000 unknown extensions": with_fields(extensions=lambda all: all + [(0x4000 + each, b"") for each in range(1000)]),
    "5,000 unknown cipher suites": with_fields(suites=lambda suites: b"\xfa\xfa" * 5000 + suites),
    "no server name": without_extension(0),
    "another server name": with_extension(0, named((0, b"example.com"))),
    "unknown application protocol": with_extension(16, vector(vector(b"unknown", 1))),
}

# Bytes in place of the ClientHello.
OTHER_BYTES = {
    "ClientHello of SSL 2.0": b"\x80\x2e\1\0\2\0\x15\0\0\0\x10" + bytes(37),
    "ClientHello of TLS 1.2 in the format of SSL 2.0": b"\x80\x2e\1\3\3\0\x15\0\0\0\x10" + bytes(37),
    "HTTP request": b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "SSH banner": b"SSH-2.0-OpenSSH_9.9\r\n",
    "1,000 zeros": bytes(1000),
    "1,000 bytes of 0xff": b"\xff" * 1000,
    "record of version 5.0": record(HANDSHAKE, b"\1\0\0\1a", b"\5\0"),
    "header of a record longer than the maximum": bytes([HANDSHAKE, 3, 1]) + number(2 ** 14 + 2049),
    "record longer than the maximum": record(HANDSHAKE, message(1, bytes(2 ** 14 + 253))),
    "message of 16 MiB": record(HANDSHAKE, b"\1\xff\xff\xff" + bytes(1000)),
    "message of 65,537 bytes": record(HANDSHAKE, b"\1\1\0\1" + bytes(1000)),
    "empty ClientHello": record(HANDSHAKE, message(1, b"")),
    "ServerHello": record(HANDSHAKE, message(2, bytes(38) + b"\0\0\0")),
    "Finished": record(HANDSHAKE, message(20, bytes(12))),
    "unknown message": record(HANDSHAKE, message(99, bytes(12))),
    "application data": record(DATA, b"data"),
    "empty application data": record(DATA, b""),
    "change_cipher_spec": record(CCS, b"\1"),
    "fatal alert": record(ALERT, b"\2\x28"),
    "close_notify": record(ALERT, b"\1\0"),
    "empty alert": record(ALERT, b""),
    "half an alert": record(ALERT, b"\1"),
    "heartbeat": record(24, b"\1\x40\0"),
}


def raw(*records):
    """Sends bytes without encryption."""
    return lambda client: client.raw.sendall(b"".join(records))


def encrypted(*records):
    """Sends records (content type, content) with the keys of the connection."""
    def send(client):
        for kind, content in records:
            if kind == DATA:
                client.sent += content
            client.run(client._sendMsgThroughSocket(Message(kind, content)))
    return send


# After the handshake and an echo.
LATER_REJECTED = {
    "plaintext data": raw(record(DATA, b"plaintext" * 10)),
    "plaintext data shorter than a tag": raw(record(DATA, b"data")),
    "empty plaintext data": raw(record(DATA, b"")),
    "plaintext close_notify": raw(record(ALERT, b"\1\0")),
    "plaintext fatal alert": raw(record(ALERT, b"\2\x28")),
    "plaintext handshake message": raw(record(HANDSHAKE, message(1, bytes(100)))),
    "heartbeat in plaintext": raw(record(24, b"\1\x40\0")),
    "HTTP request": raw(OTHER_BYTES["HTTP request"]),
    "header of a record longer than the maximum": raw(bytes([DATA, 3, 3]) + number(2 ** 14 + 2049)),
    "record longer than the maximum": encrypted((DATA, b"long" * 5000)),
    "encrypted heartbeat": encrypted((24, b"\1\x40\0")),
    "record of type 99": encrypted((99, b"content")),
    "unknown handshake message": encrypted((HANDSHAKE, message(99, b"content"))),
    "Finished": encrypted((HANDSHAKE, message(20, bytes(32)))),
    "ServerHello": encrypted((HANDSHAKE, message(2, bytes(38) + b"\0\0\0"))),
    "fatal alert": encrypted((ALERT, b"\2\x28")),
    "half an alert": encrypted((ALERT, b"\1")),
    "empty alert": encrypted((ALERT, b"")),
    "1,000 empty handshake records": encrypted(*[(HANDSHAKE, b"")] * 1000),
    "1,000 warnings": encrypted(*[(ALERT, b"\1\x5a")] * 1000),
}
LATER_REJECTED_13 = {
    "ClientHello": encrypted((HANDSHAKE, message(1, bytes(100)))),
    "session ticket": encrypted((HANDSHAKE, message(4, bytes(4) + bytes(4) + b"\1a\0\1t\0\0"))),
    "KeyUpdate with a wrong request": encrypted((HANDSHAKE, message(24, b"\2"))),
    "empty KeyUpdate": encrypted((HANDSHAKE, message(24, b""))),
    "record of zeros": encrypted((0, bytes(100))),
    "change_cipher_spec": raw(record(CCS, b"\1")),
    "empty handshake record": encrypted((HANDSHAKE, b"")),
    "CertificateRequest": encrypted((HANDSHAKE, message(13, b"\0\0\0"))),
}
LATER_ACCEPTED = {
    "record of 16 KiB": encrypted((DATA, b"long" * 4096)),
    "10 empty records of data": encrypted(*[(DATA, b"")] * 10),
    "1,000 records of one byte": encrypted(*[(DATA, b"d")] * 1000),
    "warning": encrypted((ALERT, b"\1\x5a")),
}
