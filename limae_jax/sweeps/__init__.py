"""Many runs from one command: cells, shared programs, cluster jobs, the table."""
