"""`python -m benchmarks [--quick] [--only PART] [--rounds N]`. No time fails."""

import argparse

from benchmarks import gateway, in_process, money, translation
from benchmarks.report import machine, versions

__all__: list[str] = []


def _main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a few seconds, to see that everything runs")
    parser.add_argument("--only", choices=("in-process", "translation", "money", "gateway"))
    parser.add_argument("--rounds", type=int, help="interleaved rounds of each part")
    arguments = parser.parse_args()
    if arguments.rounds is not None and arguments.rounds < 1:
        parser.error("--rounds: at least 1")
    print(f"{machine()}\n{versions()}\n")
    rounds, milliseconds = arguments.rounds or (3 if arguments.quick else 21), 2 if arguments.quick else 20
    if arguments.only in (None, "in-process"):
        in_process.run(rounds, milliseconds)
    if arguments.only in (None, "translation"):
        translation.run(rounds, milliseconds)
    if arguments.only in (None, "money"):
        money.run(rounds, milliseconds, others=not arguments.quick)
    if arguments.only in (None, "gateway"):
        plan = gateway.QUICK if arguments.quick else gateway.FULL
        gateway.run(plan._replace(rounds=arguments.rounds or plan.rounds))


if __name__ == "__main__":
    _main()
