"""Attacks on a call in the lab, what became of them, and the same where the defence is off.

- `attack`: starts the attacker (`process`, his hands; `attacker`, his mind; `wiretap`, his eyes; `forgeries`).
- `verdict`: what attacks achieved, from captures and recordings. `eavesdropper`: what listening got.
- `controls`, with `weak_phone`: the same where it must succeed. `scenario`: a run under attack, concluded.

Everything that sends refuses to run outside the lab's own namespaces.
"""
