"""The commands of ``livetill``, one module each; ``api.cli`` puts them together.

What is heavy (databases, the web framework) is imported inside the commands, so that ``--help`` is there at once.
"""
