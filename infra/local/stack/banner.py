"""The one block that the starter prints when everything runs."""

from __future__ import annotations

from infra.local.stack.settings import StackSettings


def ready_block(settings: StackSettings, seconds: float) -> str:
    """What runs where, where the data lies, and how to reach the real Replicate."""
    if settings.simulates_replicate:
        replicate = f"simulated  {settings.replicate_url}"
        advice = [
            "Replicate is simulated; its jobs really move. To use your account instead:",
            "  REPLICATE_API_TOKEN=r8_... make run",
        ]
    else:
        replicate = f"{settings.replicate_url}  ({'with' if settings.replicate_token else 'without'} a token)"
        advice = ["Replicate is not simulated. Without REPLICATE_API_TOKEN and REPLICATE_API_BASE_URL it would be."]
    lines = [
        f"SimpleTuner Cloud Jobs is ready, after {seconds:.1f} s",
        "",
        f"  Page          {settings.http_url}/",
        f"  HTTP API      {settings.http_url}/api/cloud/jobs",
        f"  WebSocket     {settings.websocket_url}",
        f"  Replicate     {replicate}",
        f"  Lambda, SQS   {settings.lambda_url}",
        f"  DynamoDB      {settings.dynamodb_url}",
        f"  Data          {settings.data_dir}",
        f"  Key           {settings.key_file}  (for programs that ask Lambda, SQS, DynamoDB or the simulator)",
        f"  Logs          {settings.data_dir / 'logs'}  (functions.log has the functions' own)",
        "",
        *(f"  {line}" for line in advice),
        "",
        "  Ctrl-C ends everything; jobs are kept.",
    ]
    width = max(len(line) for line in lines) + 2
    rule = "─" * width
    return "\n".join([rule, *lines, rule])
