#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""usage: asyncio_.py NODE: a hundred channels in one event loop."""
import asyncio
import os
import sys

CHANNELS = 100


async def until_writable(fd):
    loop = asyncio.get_running_loop()
    ready = asyncio.Event()
    loop.add_writer(fd, ready.set)
    await ready.wait()
    loop.remove_writer(fd)


async def open_channel(node, name):
    """A named channel as (reader, writer). Until the host has answered a write of the name gives
    EAGAIN; the same write again gives the answer."""
    loop = asyncio.get_running_loop()
    fd = os.open(node, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        while True:
            try:
                os.write(fd, name)
                break
            except BlockingIOError:
                await until_writable(fd)
    except OSError:
        os.close(fd)
        raise
    reader = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader),
                                 os.fdopen(fd, "rb", buffering=0))
    transport, protocol = await loop.connect_write_pipe(
        asyncio.streams.FlowControlMixin, os.fdopen(os.dup(fd), "wb", buffering=0))
    return reader, asyncio.StreamWriter(transport, protocol, reader, loop)


async def talk(node, i):
    reader, writer = await open_channel(node, b"echo")
    data = b"%d\n" % i * 1000
    writer.write(data)
    await writer.drain()
    assert await reader.readexactly(len(data)) == data
    writer.close()


async def main(node):
    await asyncio.gather(*(talk(node, i) for i in range(CHANNELS)))
    try:
        await open_channel(node, b"nosuch")
        sys.exit("a refused name is no error")
    except FileNotFoundError:
        pass


asyncio.run(asyncio.wait_for(main(sys.argv[1]), 120))
