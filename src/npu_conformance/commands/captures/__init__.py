"""One run on two machines: what each captures, carried as a folder, and the two judged anywhere.

`manifest` seals a folder and says what it is of, `command` makes one, `judging` puts two together as one run, `engines`
holds one engine against another.
"""
