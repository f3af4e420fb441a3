"""`python -m infra.simulators.replicate --port 8004`."""

import argparse
import asyncio
import contextlib
import os
import signal
import sys
from pathlib import Path

from .options import DEFAULT_SPEED, SimulatorOptions
from .server import SimulatorServer, listen
from .simulator import Simulator


def argument_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="replicate simulator", description="Plays api.replicate.com on this machine.")
    add = parser.add_argument
    add("--host", default="127.0.0.1")
    add("--port", type=int, default=8004, help="0: any free port")
    add("--state-file", type=Path, help="JSON file that keeps the jobs over restarts")
    add("--speed", type=_positive, default=DEFAULT_SPEED, help="how much faster than real time jobs run (default 20)")
    add("--jobs", type=int, default=8, help="jobs of history at the first start (default 8)")
    add("--new-job-every", type=float, default=180.0, help="seconds between jobs that start by themselves; 0: none")
    add("--keep-jobs", type=int, default=200, help="forget the oldest ended jobs beyond this number (default 200)")
    add("--retention-seconds", type=float, default=3600.0, help="how long logs stay after a job's end (default 3600)")
    add("--webhook-secret", help="whsec_…; default: one that is kept in the state file")
    add("--webhook-retry-seconds", type=float, default=60.0, help="how long a terminal webhook is tried again")
    tokens = list(filter(None, [os.environ.get("SIMULATOR_TOKEN")]))
    add("--valid-token", action="append", default=tokens, help="accept only this token (repeatable); default: any")
    add("--control-key", default=os.environ.get("SIMULATOR_CONTROL_KEY"), help="what /_control wants as bearer token")
    add("--seed", type=int, help="repeatable ids, history and chance")
    return parser


def _positive(text: str) -> float:
    number = float(text)
    if not 0 < number < float("inf"):
        raise argparse.ArgumentTypeError("must be greater than 0")
    return number


async def _serve(arguments: argparse.Namespace) -> None:
    listener = listen(arguments.host, arguments.port)
    simulator = Simulator(
        SimulatorOptions(
            speed=arguments.speed,
            jobs=arguments.jobs,
            new_job_every_seconds=arguments.new_job_every,
            keep_jobs=arguments.keep_jobs,
            retention_seconds=arguments.retention_seconds,
            valid_tokens=frozenset(arguments.valid_token),
            webhook_secret=arguments.webhook_secret,
            webhook_retry_seconds=arguments.webhook_retry_seconds,
            control_key=arguments.control_key,
            state_file=arguments.state_file,
            seed=arguments.seed,
        )
    )
    server = SimulatorServer(simulator, listener)
    loop = asyncio.get_running_loop()
    for ending in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(ending, server.stop)
    print(f"Replicate simulator on {server.origin}/v1 (control: {server.origin}/_control)", flush=True)
    await server.serve()


def main() -> int:
    arguments = argument_parser().parse_args()
    try:
        with contextlib.suppress(KeyboardInterrupt):
            asyncio.run(_serve(arguments))
    except OSError as error:
        print(f"Can't listen on {arguments.host}:{arguments.port}: {error.strerror}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
