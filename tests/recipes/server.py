#!/usr/bin/python3
# SPDX-License-Identifier: MIT
# usage: server.py UPGRADE WEB
# Two servers on unix sockets. The first takes a connection over, as docker's "attach" does: it reads up to
# the end of its input, and only later answers with what came. The second one is an ordinary web server.
import hashlib, http.server, socketserver, sys, threading, time

class Upgrade(socketserver.StreamRequestHandler):
    def handle(self):
        while self.rfile.readline().strip():
            pass
        self.wfile.write(b'HTTP/1.1 101 UPGRADED\r\n\r\n')
        digest, count = hashlib.sha256(), 0
        while data := self.rfile.read1(65536):
            digest.update(data)
            count += len(data)
        # A forwarder that takes the end of one direction for that of both has closed by then.
        time.sleep(1)
        self.wfile.write(b'%d %s\n' % (count, digest.hexdigest().encode()))

class Web(http.server.BaseHTTPRequestHandler):
    protocol_version = 'HTTP/1.1'

    def do_GET(self):
        body = b'x' * int(self.path.strip('/'))
        self.send_response(200)
        self.send_header('Content-Length', str(len(body)))
        if self.headers.get('Connection', '').lower() == 'keep-alive':
            self.send_header('Connection', 'keep-alive')
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self):
        digest = hashlib.sha256(self.rfile.read(int(self.headers['Content-Length'])))
        body = digest.hexdigest().encode() + b'\n'
        self.send_response(200)
        self.send_header('Content-Length', str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass

    def address_string(self):
        return 'a unix socket'

class Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True
    request_queue_size = 100

for path, handler in zip(sys.argv[1:], (Upgrade, Web)):
    server = Server(path, handler)
    threading.Thread(target=server.serve_forever).start()
print('serving', flush=True)
