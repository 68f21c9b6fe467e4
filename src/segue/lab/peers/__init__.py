"""Phones and servers that others wrote, started in the lab's namespaces: what the interop tests talk to.

- `baresip`: Debian's baresip, told what to do over its control port; plays to a `loudspeaker` that is a file.
- `linphone`: Debian's linphonec, told what to do on a pseudo terminal; plays from and records to files.
- `phones`: either of them with an account at the lab's server. `bed`: the network that the interop tests call in.
- `kamailio`: registrar and proxy in the place of ours: digest, TLS, TCP, UDP, record-route.
- `coturn`: a STUN and TURN server.
- `sipp`: scenarios of messages, over UDP and TCP (Debian's sipp has no TLS).
- `program`: what they share: a folder, a log, a terminal, an end.
- `sound`: the coded signal as a file for them to speak, and what of it a recording contains.

Each runs in a folder of its own with a configuration made for it, never as a service of the system, and ends with
the lab. What they can do, and what they did: docs/interop.md.
"""
