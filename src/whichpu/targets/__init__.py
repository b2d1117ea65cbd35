"""Where a job runs: a target's text, the worker as one zipapp, and the link to a running worker."""
