"""The program that bourn starts. What it does is in a module, because Python keeps no compiled form of programs."""

import os
import sys

# Before whatever else the user has, and also where Python was told not to search beside programs.
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

if sys.version_info < (3, 9):
    # The modules are not even read by such a Python: this says to the first call only what bourn needs to explain it.
    sys.stdin.readline()
    print('{"done": {"python": "%d.%d.%d"}}' % sys.version_info[:3])
    sys.exit()

from buildstream._host import serve

serve()
