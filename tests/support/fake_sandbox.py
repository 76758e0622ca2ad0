"""A sandbox that runs nothing: it remembers what it was asked and answers what a test says."""

from __future__ import annotations

from tools.sandbox.port import SandboxRequest, SandboxResult


class FakeSandbox:
    def __init__(self) -> None:
        self.requests: list[SandboxRequest] = []
        self.result = SandboxResult(status="success", value="done")

    async def run(self, request: SandboxRequest) -> SandboxResult:
        self.requests.append(request)
        return self.result

    async def close(self) -> None:
        return None
