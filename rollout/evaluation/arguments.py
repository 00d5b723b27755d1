"""The command line of `python -m rollout eval`."""

import argparse
from pathlib import Path


def add_eval_arguments(parser: argparse.ArgumentParser) -> None:
    """What decides a result has no default: who acts, how many attempts, temperature, seed."""
    parser.add_argument("tasks", nargs="+", type=Path, help="dataset folders, or .jsonl[.gz] files, of tasks")
    parser.add_argument("--output", type=Path, required=True, help="folder; a second call goes on where one stopped")
    who = parser.add_mutually_exclusive_group(required=True)
    who.add_argument("--checkpoint", type=Path, help="folder that `python -m trainer` wrote")
    who.add_argument("--server", metavar="URL", help="an OpenAI-style server; ends in /v1")
    parser.add_argument("--model", help="the server's name of the model")
    parser.add_argument("--revision", default="unknown", help="what the provider says; stands on every row")
    parser.add_argument("--api-key-env", default="OPENAI_API_KEY", help="environment variable with the server's key")
    parser.add_argument("--attempts", type=int, required=True, metavar="K", help="attempts per task")
    parser.add_argument("--temperature", type=float, required=True)
    parser.add_argument("--top-p", type=float, default=1.0)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--max-turn-tokens", type=int, help="per assistant message; default: the tasks' own limit")
    parser.add_argument("--family", choices=("qwen3", "qwen3_instruct", "qwen2_5"), help="a checkpoint's chat format")
    parser.add_argument("--batch-size", type=int, default=64, help="sequences at once, for a checkpoint")
    parser.add_argument("--tool", default="real", choices=("real", "none", "disabled", "offset"), help="default: real")
    parser.add_argument("--tools", type=Path, metavar="RECIPE", help="TOML file with tables [tools.NAME]")
    parser.add_argument(
        "--declare",
        action="append",
        metavar="NAME",
        help="a tool of --tools or of the tasks that all tasks declare; repeat it",
    )
    parser.add_argument("--limit", type=int, metavar="N", help="N of the tasks only, always the same ones")
    parser.add_argument("--redact", action="store_true", help="write hashes and scores only, no text")
    parser.add_argument("--overlaps", type=Path, help="dataset of what training rows share with the items")
    parser.add_argument(
        "--min-item-share", type=float, default=1.0, help="share of an item's words that contaminates it"
    )
    parser.add_argument("--label", help="name in the tables; default: that of the model")
    parser.add_argument("--suite", help="name of the suite; default: that of the files")
    parser.add_argument("--suite-revision", metavar="REVISION", help="of the suite; stands in the report")
