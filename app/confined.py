"""
The first thing that a confined child does: `python -P -m app.confined REACH MODULE ARGUMENT ...`.

Holds this very process to its reach and then runs the module in it, as `python -m` would. Nothing but Python itself
and this file is loaded before.
"""

import json
import runpy
import sys

from app.confinement import Reach, confine


def main() -> None:
    """Confine this process, then become the module that was named."""
    given, module, *arguments = sys.argv[1:]
    fields = json.loads(given)
    confine(Reach(tuple(fields["reads"]), tuple(fields["writes"]), uses_gpu=fields["uses_gpu"]), module=module)
    sys.argv = [module, *arguments]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
