"""What deploy/demo, deploy/test, deploy/bench and deploy/prepare share: Python 3.11's standard library, nothing else."""
