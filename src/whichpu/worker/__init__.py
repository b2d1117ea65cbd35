"""What runs on the board: standard library and numpy, Python 3.8+, shipped as one zipapp.

Imports only itself, by relative imports, so that it works under any package name.
"""
