"""What Testcontainers expects of the image `ryuk`: takes filters by TCP, and when nobody is connected removes what they match."""

import http.client
import json
import os
import re
import socket
import threading
import time
import urllib.parse

SOCKET = "/var/run/docker.sock"
filters = set()
connected = 0
changed = threading.Condition()


class Engine(http.client.HTTPConnection):
    def __init__(self):
        super().__init__("localhost", timeout=60)

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(SOCKET)


def call(method, path):
    engine = Engine()
    try:
        engine.request(method, path)
        answer = engine.getresponse()
        return answer.status, answer.read()
    finally:
        engine.close()


def listed(path, chosen, more=""):
    query = urllib.parse.urlencode({"filters": json.dumps(chosen)})
    status, body = call("GET", f"{path}?{query}{more}")
    assert status == 200, (path, status, body)
    return json.loads(body)


def reap(line):
    chosen = {name: values for name, values in urllib.parse.parse_qs(line).items()}
    for container in listed("/containers/json", chosen, "&all=1"):
        call("DELETE", f"/containers/{container['Id']}?force=1&v=1")
    for network in listed("/networks", chosen):
        call("DELETE", f"/networks/{network['Id']}")
    for volume in listed("/volumes", chosen)["Volumes"] or []:
        call("DELETE", f"/volumes/{volume['Name']}?force=1")


def converse(stream):
    global connected
    try:
        with stream, stream.makefile("r", newline="\n") as lines:
            for line in lines:
                filters.add(line.strip())
                stream.sendall(b"ACK\n")
    except OSError:
        pass  # Who is killed says no good-bye.
    with changed:
        connected -= 1
        changed.notify()


def serve(listener):
    global connected
    while True:
        stream, _ = listener.accept()
        with changed:
            connected += 1
            changed.notify()
        threading.Thread(target=converse, args=(stream,), daemon=True).start()


listener = socket.create_server(("", 8080))
patience = int(re.match(r"\d+", os.environ.get("RYUK_RECONNECTION_TIMEOUT", "10s")).group())
assert call("GET", "/_ping")[0] == 200
threading.Thread(target=serve, args=(listener,), daemon=True).start()
print(time.strftime("%Y/%m/%d %H:%M:%S"), "Started!", flush=True)
with changed:
    changed.wait_for(lambda: connected > 0, timeout=60)
    while connected or changed.wait_for(lambda: connected > 0, timeout=patience):
        changed.wait_for(lambda: connected == 0)
for line in filters:
    reap(line)
