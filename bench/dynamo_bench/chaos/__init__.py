"""Chaos: a cluster of real processes under load while nodes die, stall and lose each other.

    run ─┬─ nodes      `dynamo-node` processes: killed, stopped, wiped, their disks full
         ├─ members    nodes that join and leave, ordered with `dynamo member`
         ├─ weather    the network between them and to the clients: delayed, cut, one-way; as
         │             namespaces make it, or a proxy
         ├─ schedule   which fault, when, on whom: drawn from the seed, printed first
         ├─ loads      client processes: operations by the clock, every one written down
         ├─ audit      asks every replica itself: what do you hold?
         └─ judging    the checkers of `dynamo.testing` over all that was written down

The simulator (`dynamo.testing`) does this ten thousand times a minute in virtual time. Here it
happens to the program as it is shipped: sockets, threads, disks and clocks included.
"""
