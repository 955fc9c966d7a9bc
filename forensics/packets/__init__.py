"""Captures to tables: framing, link layers, IP, flow assembly, names."""
