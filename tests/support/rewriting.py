"""What the rewriter's test modules share: settings, a key, and the call."""

import json
from dataclasses import replace
from pathlib import Path

from povid_lib.data.pairs import Pair
from povid_lib.data.rewrite.rewriter import RewriterConfig, rewrite
from povid_lib.data.true_answers import Truth
from tests.support.fault_server import FaultServer

SECRET = "sk-planted-0123456789-abcdef"
CONFIG = RewriterConfig(
    "m", 2.5, 10.0, spending_limit=9.0, base_url="http://127.0.0.1:9/v1", max_tokens=512, retries=2, timeout=0.8
)
REASONED = Truth("r", "0.png", "Are there more dogs than cats? Explain.", "Reason: There are two dogs. Result: Yes.")


def run(folder: Path, config: RewriterConfig, rows, **how) -> list[Pair]:
    return list(rewrite(config, rows, folder / "images", folder / "journal", folder / "rejects", **how))


def lines(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def at(server: FaultServer, **change) -> RewriterConfig:
    return replace(CONFIG, base_url=server.url, **change)
