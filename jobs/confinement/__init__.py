"""What a process gives up before it looks at what people send, for good: the kernel holds it to that.

No more is imported here than a process needs that is to begin in some milliseconds.
"""
