"""Interactive Connectivity Establishment (RFC 8445), and moving a call without signalling."""
