"""Plan, run, resume and join: one path for one file, a library, one machine and many."""
