"""Kills and freezes while jobs run, and what comes of the jobs."""
