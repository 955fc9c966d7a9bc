"""The detectors: one module per kind of finding, each with one public ``detect``, all with findings of one shape."""
