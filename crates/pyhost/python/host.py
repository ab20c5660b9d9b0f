"""The program that bourn starts. What it does is in a module, because Python keeps no compiled form of programs."""

import os
import sys

# Before whatever else the user has, and also where Python was told not to search beside programs.
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from buildstream._host import serve

serve()
