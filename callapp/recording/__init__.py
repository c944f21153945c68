"""Recordings of our own: what both sides said and heard, as a stereo WAV.

``tape`` is what a call leaves behind as it goes; ``reel`` puts it in its place in time; ``recorder`` does
that on a thread of its own and writes the file; ``shelf`` is where files are kept.
"""
