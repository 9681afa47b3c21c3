"""Floor F6: the simulated world in which nodes are tested, and the checkers of what they did.

    seed ─▶ shape (swarm)
         ─▶ scenario ─┬─ cluster: machines (disk, clock) ─▶ process ─▶ the real kernel and engine
                      ├─ network: connections over routes
                      ├─ faults:  three or more at any time
                      └─ workload: clients ─▶ history ─▶ checkers ─▶ Violation, or all is well

Everything runs in one thread on a heap of events in virtual time; a seed repeats a run exactly.
`python -m dynamo.testing --seeds 150`, `--seed 42 --trace`, `--seed 42 --shrink`.
"""
