"""`python -m dynamo.testing`: many seeds, or one with everything that happened in it, or only with
what its failure needs.

0 every promise held · 1 a promise was broken · 2 wrong usage
"""

from typing import Annotated

import typer

from dynamo.testing.runs import Summary, run_seeds
from dynamo.testing.scenario import Scenario
from dynamo.testing.shrink import shrink, transcript
from dynamo.testing.swarm import described, drawn

app = typer.Typer(add_completion=False, help=__doc__)


@app.command()
def simulate(
    seeds: Annotated[int, typer.Option(help="How many seeds to run.")] = 150,
    first: Annotated[int, typer.Option(help="The first of them.")] = 0,
    jobs: Annotated[int, typer.Option(help="Processes to run them in.")] = 2,
    seed: Annotated[int | None, typer.Option(help="Repeat this one seed only.")] = None,
    trace: Annotated[bool, typer.Option(help="Print every event of that seed.")] = False,
    shortest: Annotated[
        bool, typer.Option("--shrink", help="Print the shortest run of that seed that still fails.")
    ] = False,
) -> None:
    """Run whole clusters under faults, and check what their clients saw."""
    summary = Summary()
    if seed is not None and shortest:
        _print_shortest(seed)
    if seed is not None:
        shape = drawn(seed)
        print(f"seed {seed}: {described(shape)}")
        summary.add(Scenario(seed, shape, print if trace else None).run())
    else:
        for result in run_seeds(range(first, first + seeds), jobs):
            summary.add(result)
            if result.violation:
                print(f"seed {result.seed}: {result.violation}", flush=True)
    for line in summary.lines():
        print(line)
    raise typer.Exit(1 if summary.failed else 0)


def _print_shortest(seed: int) -> None:
    shrunk = shrink(seed, drawn(seed))
    if shrunk is None:
        return
    for line in transcript(seed, shrunk):
        print(line)
    raise typer.Exit(1)
