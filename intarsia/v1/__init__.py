"""Generated from protos/intarsia/v1 by protos/generate.py; not edited by hand."""
