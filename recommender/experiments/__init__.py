"""What is tried out on people, in numbers: lists with chance, arms, interleaving, tests that may be looked at, estimates.

Reading order: `policies` (lists and their probabilities), `arms`, `interleaving`, `sequential`, `off_policy`, `slates`,
`intervals`, `results`. Nothing here knows a server or a store.
"""
