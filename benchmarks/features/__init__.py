"""Which of Anthropic's newer features pass through which gateway, tried over sockets.

`python -m benchmarks.features` tries every gateway that installs, and prints a table. With `--write` it stores
what `docs/features.md` shows. The upstream is a server of ours that answers as Anthropic documents.
"""
