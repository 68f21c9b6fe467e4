"""SRTP and SRTCP: protection of media with session keys from a master key, without sockets and addresses.

Done: RFC 3711 (AES-CM with HMAC-SHA1, key derivation at rate 0, replay list, index estimation, MKI, lifetime,
section 4.3, appendix A), RFC 4568 section 6.2 (suites), RFC 6188 (AES-256-CM), RFC 7714 (AES-GCM), several
SSRCs under one key, change of keys with the rollover counter kept (RFC 3711 section 3.3.1) or begun anew
(RFC 4568 section 7.1.4).

Not done: AES-f8, AES-192, key derivation rates other than 0, <From, To> lifetimes, encrypted header
extensions (RFC 6904), unencrypted SRTP; unencrypted SRTCP only where asked for.
"""
