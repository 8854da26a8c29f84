"""A TLS client in Python's ssl, for tests/tls: `look` says what it sees, `cut` ends handshakes within their last flight."""

import hashlib
import json
import socket
import ssl
import sys


def context(ca, cert=None, key=None):
    made = ssl.create_default_context(cafile=ca)
    made.set_alpn_protocols(["h2", "http/1.1"])
    if cert:
        made.load_cert_chain(cert, key)
    return made


def look(host, port, files):
    """Shakes hands, and prints the facts of the connection."""
    with socket.create_connection((host, port), timeout=60) as plain:
        with context(*files).wrap_socket(plain, server_hostname=host) as peer:
            greeting = peer.recv(16)
            print(json.dumps({
                "version": peer.version(),
                "cipher": peer.cipher()[0],
                "alpn": peer.selected_alpn_protocol(),
                "fingerprint": hashlib.sha256(peer.getpeercert(binary_form=True)).hexdigest(),
                "greeting": greeting[:8].decode("ascii", "replace"),
            }))


def last_flight(host, peer, files):
    """Shakes hands up to the last flight of this end, and returns it unsent."""
    received, to_send = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = context(*files).wrap_bio(received, to_send, server_hostname=host)
    while True:
        try:
            tls.do_handshake()
            return to_send.read()
        except ssl.SSLWantReadError:
            peer.sendall(to_send.read())
            bytes_read = peer.recv(1 << 16)
            assert bytes_read, "it hangs up within its own flight"
            received.write(bytes_read)


def cut(host, port, files):
    """Ends a connection behind each byte of the last flight, and prints how many bytes that has."""
    sent, length = 0, 1
    while sent < length:
        with socket.create_connection((host, port), timeout=60) as peer:
            flight = last_flight(host, peer, files)
            length = len(flight)
            peer.sendall(flight[:sent])
            peer.shutdown(socket.SHUT_WR)
            try:
                while peer.recv(1 << 16):
                    pass
            except ConnectionResetError:
                pass
        sent += 1
    print(length)


def main():
    what, host, port, *files = sys.argv[1:]
    {"look": look, "cut": cut}[what](host, int(port), files)


main()
