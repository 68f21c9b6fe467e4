"""The standards, a room each, without clock, dice, loop or socket (RFC numbers in each room's `__init__`)."""
