"""The whole service on one machine, in four rooms.

`stack` starts it and ends it, `install` brings what it runs on, `triggers` stand for AWS's event sources and
`workers` for Lambda's runtime. `stack` uses the others; they know only `names` and `infra.templates`.
"""
