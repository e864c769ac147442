"""Adapters: files of few weights that change what a network makes; read, kept and applied for a pass."""
