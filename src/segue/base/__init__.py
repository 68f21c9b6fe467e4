"""Words everyone shares. Imports nothing of Segue; everything else may import it.

- `machine`: the five verbs of every core.
- `address`: `Address` and `Path`.
- `errors`: whose fault it was.
- `clock`, `entropy`: time and dice as arguments.
- `cursor`: reading octets without reading past the end.
- `secret`: key material that does not print.
- `trace`: why a packet was dropped, as data.
- `keying`: the plug shape of key agreements.
- `frame`: PCM with rate and time.
"""
