"""A stub of API Gateway's management API in a process of its own: answers every post with 200, as fast as it can.

Posts to connections whose name begins with `hangs` are answered when their sender has given up.
python -m tests.bench.stub_gateway: prints its port, serves until its input ends.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys

_ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
_HANGS_SECONDS = 3.0


async def _serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(asyncio.IncompleteReadError, asyncio.CancelledError, ConnectionError):
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            lines = head.lower().split(b"\r\n")
            length = next((int(line[15:]) for line in lines if line.startswith(b"content-length:")), 0)
            await reader.readexactly(length)
            if b"/@connections/hangs" in lines[0]:
                await asyncio.sleep(_HANGS_SECONDS)
            writer.write(_ANSWER)
    writer.close()


async def main() -> None:
    server = await asyncio.start_server(_serve, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await asyncio.to_thread(sys.stdin.read)
    server.close()


if __name__ == "__main__":
    asyncio.run(main())
