"""Floor F6: the simulated world in which nodes are tested, and the checkers of what they did."""
