"""Shared by the runs of the HTTP API and of webhooks: the packaged server, WebSocket clients and HTTP over plain sockets."""
import asyncio, base64, contextlib, hmac, json, os, re, subprocess, time

from tools import ROOT

KEY = "bench-key-of-at-least-sixteen-bytes"


def binary(profile):
    """The packaged server, which `cargo build --profile PROFILE -p switchboard-cli` makes."""
    folder = {"dev": "debug"}.get(profile, profile)
    target = os.environ.get("CARGO_TARGET_DIR", os.path.join(ROOT, "target"))
    return os.environ.get("SWITCHBOARD", os.path.join(target, folder, "switchboard"))


@contextlib.contextmanager
def serve(program, settings, core=0):
    """Yields the process and its addresses by name as soon as it listens; killed at the end of the block."""
    sets = [f"--set={setting}" for setting in ["listen=127.0.0.1:0", "api.listen=127.0.0.1:0", f"api.keys={KEY}",
                                              "api.requests_per_second=none", "limits.messages_per_s=none", *settings]]
    process = subprocess.Popen(["taskset", "-c", str(core), program, "serve", *sets], stdout=subprocess.PIPE,
                               stderr=subprocess.DEVNULL, text=True)
    try:
        yield process, addresses(process)
    finally:
        process.kill()
        process.wait()


def addresses(process):
    """Reads the banner: `clients` and `api`."""
    found = {}
    while "api" not in found:
        line = process.stdout.readline()
        if not line:
            raise SystemExit("the server does not start")
        if match := re.search(r"wss?://([\d.]+:\d+)", line):
            found.setdefault("clients", match[1])
        if match := re.search(r"^  api +http://([\d.]+:\d+)", line):
            found["api"] = match[1]
    return found


def host_and_port(address):
    host, port = address.rsplit(":", 1)
    return host, int(port)


def frame(message):
    """A masked text frame; the mask is zero."""
    body = json.dumps(message, separators=(",", ":")).encode()
    head = bytes([0x81, 0x80 | len(body)]) if len(body) < 126 else b"\x81\xfe" + len(body).to_bytes(2)
    return head + bytes(4) + body


class Client:
    """A client of the emit protocol with one request at a time."""

    @classmethod
    async def connect(cls, address, query=""):
        self = cls()
        self.read, self.write = await asyncio.open_connection(*host_and_port(address))
        self.write.write(upgrade(address, query))
        await self.read.readuntil(b"\r\n\r\n")
        return self

    def emit(self, event, data):
        self.write.write(frame({"event": event, "data": data}))

    async def request(self, event, data):
        self.write.write(frame({"event": event, "data": data, "ackId": 1}))
        while True:
            message = json.loads(await self.receive())
            if message.get("type") == "ack":
                return message["data"]

    async def receive(self):
        """The text of the next frame. Pings are answered."""
        while True:
            first, length = await self.read.readexactly(2)
            if length == 126:
                length = int.from_bytes(await self.read.readexactly(2))
            elif length == 127:
                length = int.from_bytes(await self.read.readexactly(8))
            body = await self.read.readexactly(length)
            if first & 15 == 9:
                self.write.write(bytes([0x8a, 0x80 | len(body)]) + bytes(4) + body)
            elif first & 15 == 1:
                return body


def token(user, secret):
    """A token of a user, signed with HS256."""
    part = lambda value: base64.urlsafe_b64encode(value).rstrip(b"=")
    content = part(b'{"alg":"HS256"}') + b"." + part(json.dumps({"sub": user, "exp": int(time.time()) + 3600}).encode())
    return (content + b"." + part(hmac.new(secret.encode(), content, "sha256").digest())).decode()


class Receiver(asyncio.Protocol):
    """A client that reads and counts bytes only."""

    received = 0

    @classmethod
    async def connect(cls, address, query):
        _, self = await asyncio.get_running_loop().create_connection(cls, *host_and_port(address))
        self.connected = asyncio.get_running_loop().create_future()
        self.transport.write(upgrade(address, query))
        await self.connected
        return self

    def connection_made(self, transport):
        self.transport = transport

    def data_received(self, data):
        Receiver.received += len(data)
        if not self.connected.done():
            self.connected.set_result(None)


def upgrade(address, query):
    key = base64.b64encode(os.urandom(16)).decode()
    return (f"GET /{query} HTTP/1.1\r\nhost: {address}\r\nupgrade: websocket\r\nconnection: upgrade\r\n"
            f"sec-websocket-version: 13\r\nsec-websocket-key: {key}\r\n\r\n").encode()


class Endpoint(asyncio.Protocol):
    """An HTTP backend: `answer(body)` returns a response, or None to keep the connection without one."""

    def __init__(self, answer):
        self.answer, self.buffer = answer, b""

    def connection_made(self, transport):
        self.transport = transport

    def data_received(self, data):
        self.buffer += data
        while (end := self.buffer.find(b"\r\n\r\n")) >= 0:
            length = int(re.search(rb"content-length: (\d+)", self.buffer[:end], re.I)[1])
            if len(self.buffer) < end + 4 + length:
                return
            body, self.buffer = self.buffer[end + 4:end + 4 + length], self.buffer[end + 4 + length:]
            response = self.answer(body)
            if response == b"close":
                self.transport.close()
            elif response is not None:
                self.transport.write(response)


def response(status, body=b""):
    return b"HTTP/1.1 %d X\r\ncontent-length: %d\r\n\r\n%b" % (status, len(body), body)


def percentile(values, part):
    return sorted(values)[min(len(values) - 1, int(len(values) * part))]


def load():
    """The load of the machine, to be shown beside figures."""
    return "load " + " ".join(f"{value:.1f}" for value in os.getloadavg())


def http_request(address, path, body, method="POST"):
    return (f"{method} /api/v1/{path} HTTP/1.1\r\nhost: {address}\r\nauthorization: Bearer {KEY}\r\n"
            f"content-length: {len(body)}\r\n\r\n").encode() + body


def cpu_seconds(pid):
    fields = open(f"/proc/{pid}/stat").read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


__all__ = ["Client", "Endpoint", "KEY", "Receiver", "asyncio", "binary", "cpu_seconds", "host_and_port", "http_request", "json", "load",
           "percentile", "response", "serve", "subprocess", "time", "token"]
