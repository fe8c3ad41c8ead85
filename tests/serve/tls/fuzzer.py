"""Runs scripts of tlsfuzzer against a server with an RSA certificate: fuzzer.py PORT FOLDER_OF_TLSFUZZER.

Prints a line for each script, and exits with 1 if a probe fails that is not listed here with a reason.
"""
import concurrent.futures
import os
import re
import subprocess
import sys

AEAD = ["-C", "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256"]
NO_ALERT = "the TLS library closes without an alert"
OTHER_ALERT = "the TLS library sends another fatal alert"
ECHO = "the probe expects one reply to the whole request, as of HTTP; an echo replies to each part"
GROUPS = "the TLS library has only x25519, secp256r1 and secp384r1"
RSA_KEYS = "TLS 1.2 with RSA key exchange, which the TLS library has not"

# Script, arguments, probes that may fail (a regular expression) and why.
SCRIPTS = [
    ("tls13-conversation", [], {}),
    ("tls13-ccs", [], {}),
    ("tls13-count-tickets", [], {}),
    ("tls13-hrr", [], {}),
    ("tls13-invalid-ciphers", [], {}),
    ("tls13-large-number-of-extensions", ["-n", "10"], {
        "unassigned extensions .*from 64536 to 65535":
            "the range has the extensions of Encrypted Client Hello (0xfd00, 0xfe0d), whose payload is not valid",
    }),
    ("tls13-no-unknown-groups", [], {}),
    ("tls13-nociphers", [], {}),
    ("tls13-record-padding", [], {}),
    ("tls13-unencrypted-alert", [], {}),
    ("tls13-empty-alert", [], {"empty alert .*": OTHER_ALERT}),
    ("tls13-finished-plaintext", [], {"Unencrypted Finished message": OTHER_ALERT}),
    ("tls13-finished", [], {
        "padding .* pad_right 196608": NO_ALERT,
        "(padding|truncation) - .*": OTHER_ALERT,
    }),
    ("tls13-keyshare-omitted", [], {"key_share extension omitted": OTHER_ALERT}),
    ("tls13-keyupdate", [], {
        "[1-4]/[1-4] fragmented keyupdate msg, appdata between": NO_ALERT,
        "multiple KeyUpdate messages": ECHO,
    }),
    ("tls13-zero-content-type", [], {
        "zero content type (with padding )?(after|during) handshake": NO_ALERT,
        "zero content type .*during application data": NO_ALERT,
    }),
    ("tls13-zero-length-data", [], {
        "zero-len.* app data .*interleaved in handshake": NO_ALERT,
        "zero-length app data with (large )?padding": ECHO,
    }),
    ("tls13-crfg-curves", [], {".*x448.*": GROUPS, "empty x25519 key share": OTHER_ALERT}),
    ("tls13-ecdhe-curves", [], {".*(secp521r1|x448).*": GROUPS}),
    ("tls13-unrecognised-groups", [], {".*ffdhe2048.*": GROUPS}),
    ("tls13-session-resumption", [], {
        ".*TLS 1.2.*": RSA_KEYS,
        "session resumption - PSK_ONLY": "the TLS library makes a full handshake instead",
    }),
    ("tls13-0rtt-garbage", [], {
        ".*downgrade to TLS 1.2.*": RSA_KEYS,
        "handshake with invalid 0-RTT.*": "the TLS library skips at most 16 KiB, since it never accepts early data",
    }),
    ("tls13-connection-abort", [], {"After NewSessionTicket": ECHO}),
    ("conversation", AEAD, {}),
    ("early-application-data", AEAD, {}),
    ("fuzzed-ciphertext", AEAD + ["-n", "100"], {}),
    ("hello-request-by-client", AEAD, {}),
    ("invalid-compression-methods", AEAD, {}),
    ("invalid-content-type", AEAD, {}),
    ("invalid-client-hello-w-record-overflow", AEAD, {"Client Hello type fuzz to .*": OTHER_ALERT}),
    ("record-layer-fragmentation", AEAD, {
        "(small|medium), maximum fragmentation: .*": ECHO,
        "maximum size: max fragment - .*": NO_ALERT,
        "non fragmented, over fragmentation limit: .*": "the TLS library accepts records that are not encrypted and longer",
    }),
    ("renegotiation-disabled", AEAD, {"try .* renegotiation with .*": ECHO}),
    ("cve-2004-0079", AEAD, {".* interleaved ClientHello fragment": NO_ALERT}),
    ("cve-2016-7054", [], {}),
    ("sslv2-connection", [], {}),
    ("sslv2-force-cipher", [], {}),
    ("sslv2-force-export-cipher", [], {}),
]


def run(script, arguments, allowed):
    """What was done, and whether it is as it is to be."""
    path = os.path.join(sys.argv[2], "scripts", "test-%s.py" % script)
    command = [sys.executable, path, "-h", "127.0.0.1", "-p", sys.argv[1], *arguments]
    environment = dict(os.environ, PYTHONPATH=sys.argv[2])
    try:
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=55)
    except subprocess.TimeoutExpired:
        return False, "%s: not within 55 s" % script
    total = re.search(r"^TOTAL: (\d+)", done.stdout, re.M)
    passed = re.search(r"^PASS: (\d+)", done.stdout, re.M)
    if not total or not passed:
        return False, "%s: no result: %s" % (script, (done.stdout + done.stderr)[-500:])
    failures = done.stdout.partition("FAILED:")[2]
    failed = set(re.findall(r"^\t'(.*)'$", failures, re.M))
    unexpected = {name for name in failed if not any(re.fullmatch(one, name) for one in allowed)}
    counted = re.search(r"^FAIL: (\d+)", done.stdout, re.M)
    is_listed = bool(failed) or not counted or counted[1] == "0"
    line = "%s: %s probes, %s passed, %d allowed to fail" % (
        script, total[1], passed[1], len(failed - unexpected))
    for name in sorted(unexpected):
        line += "\n    failed: %s" % name
    return is_listed and not unexpected, line


def main():
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        results = list(pool.map(lambda entry: run(*entry), SCRIPTS))
    for is_fine, line in results:
        print("" if is_fine else "FAILED ", line, sep="")
    return 0 if all(is_fine for is_fine, _ in results) else 1


sys.exit(main())
