"""The agent's executable: reads its configuration, joins the parts, runs until it is told to stop.

Order of a start: open the socket (requests wait or are told to try again), read every kind of
object in full, and only then compare with the kernel and write. A stop leaves the kernel as it is:
policies stay in force while no agent runs.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from romana.agent import logs
from romana.agent.agent import Agent
from romana.agent.config import DEFAULT_PATH, Config, load
from romana.agent.errors import AgentError, ConfigError
from romana.version import VERSION

log = logging.getLogger("romana.agent.daemon")  # not __name__: it may be __main__


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the agent; the process's exit code is 0 after SIGTERM, 1 after an error that was told on
    standard error."""
    options = _parser().parse_args(arguments)
    logs.set_up(options.log_level)
    try:
        config = _config(options)
        asyncio.run(_serve(config, options))
    except (AgentError, OSError) as error:
        log.error("the agent cannot run", extra={"reason": str(error)})  # noqa: TRY400 - told in one line
        sys.exit(1)


async def _serve(config: Config, options: argparse.Namespace) -> None:
    """Run until SIGTERM or SIGINT; read the configuration again at SIGHUP."""
    agent = Agent(config)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    loop.add_signal_handler(signal.SIGINT, stop.set)
    loop.add_signal_handler(signal.SIGHUP, _reload, agent, options)
    await agent.run(stop)


def _reload(agent: Agent, options: argparse.Namespace) -> None:
    try:
        agent.reload(_config(options))
    except ConfigError as error:
        log.error("the configuration stays as it was", extra={"reason": str(error)})  # noqa: TRY400


def _config(options: argparse.Namespace) -> Config:
    given = {
        "source": options.source,
        "node": options.node,
        "socket": options.socket,
        "state": options.state,
        "metrics": options.metrics,
    }
    return load(options.config, {key: value for key, value in given.items() if value is not None})


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="romana-agent",
        description="Gives the pods of this host addresses and routes, and enforces policies.",
        epilog="example: romana-agent --source files:/etc/romana/manifests --node node1",
    )
    parser.add_argument("--version", action="version", version=VERSION)
    parser.add_argument("--config", type=Path, default=DEFAULT_PATH, help="default: %(default)s")
    parser.add_argument("--source", help="`kubernetes`, or `files:DIRECTORY` of manifests")
    parser.add_argument("--node", help="this host's name in Kubernetes; default: its host name")
    parser.add_argument(
        "--socket", help="where the plugin and the `romana` command reach the agent"
    )
    parser.add_argument("--state", help="directory of the address leases")
    parser.add_argument("--metrics", help="address and port of metrics and health, or `off`")
    parser.add_argument(
        "--log-level", default="info", choices=("debug", "info", "warning", "error")
    )
    return parser


if __name__ == "__main__":
    main()
