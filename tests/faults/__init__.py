"""Every fault of RELIABILITY.md rows 18 to 58, injected through the real stack; `test_rows` says which test has which.

A test asserts four things: where the change is, what is on the record, how many POSTs the simulator saw, and that
nothing but GETs came after. `witness` in conftest.py asks at each POST whether it was announced and committed before.
"""
