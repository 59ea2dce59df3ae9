#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""usage: blocking.py NODE: an unbuffered binary file is a channel."""
import os
import sys

DATA = os.urandom(300000)
node = sys.argv[1]

with open(node, "r+b", buffering=0) as channel:
    channel.write(b"echo")
    channel.write(b"PING\n")
    assert channel.read(100) == b"PING\n"
    back = b""
    for at in range(0, len(DATA), 50000):
        channel.write(DATA[at:at + 50000])
        while len(back) < at + 50000:
            back += channel.read(65536)
    assert back == DATA

with open(node, "r+b", buffering=0) as channel:
    channel.write("report+ä €".encode())
    text = b"".join(iter(lambda: channel.read(4096), b"")).decode()
    assert "MANYPORT_ARGUMENT=ä €\n" in text, text

try:
    with open(node, "r+b", buffering=0) as channel:
        channel.write(b"nosuch")
    sys.exit("a refused name is no error")
except FileNotFoundError:
    pass
