"""The trained network: its file forms, its inputs, and the data fed to it."""
