"""A server that is in use, asked again and again for a few of its baseline's positions: does it still compute the same?

`engines.openai.client` speaks to it, `judging` holds its answers against the baseline, `command` repeats that.
"""
