"""Fetches published weights: plans, downloads, checks, converts, and puts the bundle in its place."""
