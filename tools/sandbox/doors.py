"""The way of a tool's `client` out of the sandbox: requests come from a socket pair and go to the API as the agent."""

from __future__ import annotations

import asyncio
import json
import socket

from tools.sandbox.inside import frames
from tools.sandbox.port import ApiAnswer, ApiDoor, ApiRequest

_MOST_REQUESTS = 1000


async def serve_door(end: socket.socket, api: ApiDoor) -> None:
    """Answer the requests of one call until it closes its end, or says something that is no request."""
    reader, writer = await asyncio.open_connection(sock=end)
    try:
        for _ in range(_MOST_REQUESTS):
            sizes = frames.unpack_lengths(await reader.readexactly(frames.HEAD.size))
            head = json.loads(await reader.readexactly(sizes[0]))
            body = await reader.readexactly(sizes[1])
            answer = await api(
                ApiRequest(
                    method=str(head["method"]),
                    target=str(head["target"]),
                    headers=tuple((str(name), str(value)) for name, value in head["headers"]),
                    body=body,
                )
            )
            writer.write(_frame(answer))
            await writer.drain()
    except (OSError, EOFError, ValueError, TypeError, KeyError):
        return  # the tool is gone, or talks in another way than our client does
    finally:
        writer.close()


def _frame(answer: ApiAnswer) -> bytes:
    return frames.pack({"status": answer.status, "headers": answer.headers}, answer.body)
