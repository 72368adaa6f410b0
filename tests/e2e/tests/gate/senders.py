"""Senders that have nothing but Python's standard library: HTTP/1.1, with TLS or without.

usage: senders.py feed HTTPS-URL CA        sends to both ways in over one connection each; prints what it counted
       senders.py slow CA URL...           dawdles with each; prints what became of it, one line each
"""

import http.client
import json
import socket
import ssl
import struct
import sys
import threading
import time
from urllib.parse import urlsplit

ROUTE = [("http.request.method", "GET"), ("http.route", "/cards/{id}"), ("http.response.status_code", 200)]


def connect(url, ca, timeout=90):
    at = urlsplit(url)
    if at.scheme == "http":
        return http.client.HTTPConnection(at.hostname, at.port, timeout=timeout)
    # http.client offers `http/1.1` in the handshake, and nothing else.
    trusts = ssl.create_default_context(cafile=ca)
    # Newer versions want extensions that a certificate of a test does not have.
    trusts.verify_flags &= ~ssl.VERIFY_X509_STRICT
    return http.client.HTTPSConnection("localhost", at.port, timeout=timeout, context=trusts)


def attribute(key, value):
    kind = "intValue" if isinstance(value, int) else "stringValue"
    return {"key": key, "value": {kind: str(value)}}


def otlp(start, now, n):
    point = {
        "startTimeUnixNano": str(start),
        "timeUnixNano": now,
        "count": str(n),
        "sum": 0.01 * n,
        "bucketCounts": [0, str(n), 0],
        "explicitBounds": [0.005, 0.025],
        "attributes": [attribute(k, v) for k, v in ROUTE],
    }
    metric = {
        "name": "http.server.request.duration",
        "unit": "s",
        "description": "a \"text\" with \u00fc",
        "histogram": {"aggregationTemporality": 2, "dataPoints": [point]},
    }
    resource = {"attributes": [attribute("service.name", "pay"), attribute("service.instance.id", "pay-1")]}
    scoped = {"scope": {"name": "senders"}, "metrics": [metric]}
    return json.dumps({"resourceMetrics": [{"resource": resource, "scopeMetrics": [scoped]}]}).encode()


def varint(n):
    out = b""
    while n >= 0x80:
        out += bytes([n & 0x7F | 0x80])
        n >>= 7
    return out + bytes([n])


def field(number, data):
    return varint(number << 3 | 2) + varint(len(data)) + data


def snappy(data):
    """A block of literals, which is lawful and not small."""
    out = varint(len(data))
    for i in range(0, len(data), 60):
        part = data[i : i + 60]
        out += bytes([(len(part) - 1) << 2]) + part
    return out


def remote_write(now_ms, n):
    labels = [
        ("__name__", "http_server_request_duration_seconds_count"),
        ("http_request_method", "GET"),
        ("http_route", "/a"),
        ("instance", "10.0.0.1:80"),
        ("job", "edge"),
    ]
    series = b"".join(field(1, field(1, k.encode()) + field(2, v.encode())) for k, v in labels)
    series += field(2, b"\x09" + struct.pack("<d", n) + b"\x10" + varint(now_ms))
    return snappy(field(1, series))


def feed(url, ca):
    metrics, samples = connect(url, ca), connect(url, ca)
    start, n = time.time_ns(), 0
    # The step in which counting begins is not given out, and what is counted is spread from the point before: let it
    # pass, and say once more that there was nothing.
    for second in range(9):
        n += 0 if second <= 1 else 10 + second
        metrics.request("POST", "/v1/metrics", otlp(start, time.time_ns(), n), {"Content-Type": "application/json"})
        answer = metrics.getresponse()
        told = answer.read()
        assert (answer.status, told, answer.headers["Content-Type"]) == (200, b"{}", "application/json"), told
        headers = {"Content-Type": "application/x-protobuf", "Content-Encoding": "snappy"}
        samples.request("POST", "/api/v1/write", remote_write(time.time_ns() // 1_000_000, n), headers)
        answer = samples.getresponse()
        told = answer.read()
        assert (answer.status, answer.version) == (204, 11), told
        assert answer.headers["X-Prometheus-Remote-Write-Samples-Written"] == "1", answer.headers
        time.sleep(2.5 if second == 0 else 0.5)
    print(n)


def dawdle(name, url, ca, said, told):
    """Says something, and then a byte now and then; what is answered until the connection ends."""
    began = time.monotonic()
    connection = connect(url, ca)
    connection.connect()
    stream = connection.sock
    stream.sendall(said)
    stream.settimeout(1)
    heard = b""
    while time.monotonic() - began < 80:
        try:
            part = stream.recv(4096)
        except (socket.timeout, ssl.SSLWantReadError):
            part = None
        except OSError:
            part = b""
        if part == b"":
            break
        heard += part or b""
        try:
            stream.sendall(b"x")
        except OSError:
            pass
    else:
        heard = b"it is kept"
    lines = heard.decode("latin-1").replace("\r\n", "|")
    told.append(f"{name} {urlsplit(url).scheme}: {lines}")


def slow(ca, urls):
    head = b"POST /v1/metrics HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    told, threads = [], []
    for url in urls:
        for name, said in [
            ("head", head + b"X-Long: "),
            ("body", head + b"Content-Length: 100000\r\n\r\n{"),
            ("hello", b""),
        ]:
            # Who says nothing dawdles with a byte that is none of HTTP/2's, so it begins a head.
            threads.append(threading.Thread(target=dawdle, args=(name, url, ca, said, told)))
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    print("\n".join(sorted(told)))


if sys.argv[1] == "feed":
    feed(sys.argv[2], sys.argv[3])
else:
    slow(sys.argv[2], sys.argv[3:])
