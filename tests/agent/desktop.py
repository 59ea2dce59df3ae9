#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
# In the guest of test-both, in place of the half of spice-vdagent that runs in a desktop: tells spice-vdagentd
# of a screen, on which that opens its port, and comes back when that ends.
import socket
import struct

GUEST_XORG_RESOLUTION = 0

while True:
    with socket.socket(socket.AF_UNIX) as agent:
        agent.connect("/run/spice-vdagentd/spice-vdagent-sock")
        screen = struct.pack("=5i", 1024, 768, 0, 0, 0)
        agent.sendall(struct.pack("=4I", GUEST_XORG_RESOLUTION, 1024, 768, len(screen)) + screen)
        try:
            while agent.recv(4096):
                pass
        except ConnectionResetError:
            pass
