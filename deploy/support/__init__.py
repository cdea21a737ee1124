"""What deploy/demo, deploy/test, deploy/bench and deploy/prepare share: Python 3.11's standard library, nothing else."""

import sys

if sys.version_info < (3, 11):
    sys.exit(f"{sys.argv[0]} needs Python 3.11 or newer, and this is {sys.version.split()[0]}: install python3.11 and run `python3.11 {sys.argv[0]}`")
