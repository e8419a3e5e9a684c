"""Throws definitions of graphs at a server: usage graph.py SECONDS [SEED]. What lang.py promises holds for them too; besides, validating raises
nothing whatever it is given, and what it finds valid can be planned and compiled. Prints TAP.
"""
import os
import random
import sys

here = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [here, os.path.join(here, "..", "graph")]
import graphs
import lang


class GraphInputs:
    def __init__(self, seed):
        self.random = random.Random(seed)
        self.graphs = graphs.Graphs(seed)

    def case(self):
        definition = self.random.choice([self.graphs.acyclic, self.graphs.cyclic, self.graphs.wild, self.graphs.wild, self.graphs.mutated, self.graphs.mutated])()
        return [self.random.choice(["validate", "validate", "plan", "compile"]), "", definition]


if __name__ == "__main__":
    lang.INPUTS = {"graphs": GraphInputs}
    sys.exit(lang.main())
