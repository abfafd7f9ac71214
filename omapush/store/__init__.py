"""
Everything that is stored in Redis: names of keys in keys.py, bytes in codec.py, changes by the functions of
schema/functions.
"""
