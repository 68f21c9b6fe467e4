"""Session Initiation Protocol: messages, transactions, dialogs and calls, without a socket.

Messages
- `message`, `field_values`, `uri`, `syntax`, `reasons`: requests and responses as data.
- `parser`, `framing`: octets to messages; datagrams and streams.
- `response_route`: where a response goes. `locate`: where a request goes. `flow`: the ways there are.
- `digest`: authentication.

Transactions
- `transaction_layer.TransactionLayer`: a machine; all transactions of one phone or server. It is told what came
  (`receive`), asked to send (`send_request`, `respond`, `cancel`), and says what happened (`transaction_events`).
- `transaction_states`: the four state tables; `transaction_client`, `transaction_server`, `timers`.

Calls
- `invite_session.InviteSession`: one call at one end, from dialling to hanging up, over any number of moves; what
  it tells its user is in `session_events`. `invite_sessions.InviteSessions` finds the call of each event.
- Its parts: `invite_session_caller`, `_callee`, `_reoffer` (our changes), `_offers` (the peer's), `_moves`,
  `_trickle`, `_dispatch`, `_refresh`, on `session_core`; `invite_server` (one INVITE of the peer's), `reliable`,
  `offer_answer`, `session_timer`, `dialog`.

Status card
  RFC 3261   done: 7, 8 (not 8.3), 9, 12, 13, 14, 15, 17, 18.1.1 (a large request goes by a stream), 18.2, 20, 22, 25
             done: 8.2.2.2 merged requests are told, the user decides. 16 is the server's.
             not done: multicast, S/MIME (23), TLS itself (26.3; that is `net`), maddr of a Via (18.2.2).
  RFC 2543   matching of requests without the branch cookie (17.2.3); strict routers (12.2.1.1)
  RFC 3262   done, both sides; the first reliable response of a call without offer carries it
  RFC 3263   done: 4 (client); not 5 (servers that fail over to a backup for responses)
  RFC 3264   4 in `offer_answer`: who may offer when; what is offered is `segue.call.negotiation`
  RFC 3311   done, early and confirmed dialogs
  RFC 3326   Reason in CANCEL and BYE, sent and told
  RFC 3581   done
  RFC 3891   done: 3 (finding the call), 6.1; the phone does not say that it can, as it does not replace calls yet
  RFC 4320   done: 4.1, 4.2
  RFC 5057   done: which failure ends a dialog
  RFC 5626   3.5.1 keep-alive in `framing`; flows and their serials here, registration in `segue.call`, STUN (8) in
             `segue.protocols.stun`
  RFC 6026   done
  RFC 6086   done: 4, 5, for the package "trickle-ice"; an INFO without package is the user's
  RFC 8840   done: 4.3, 4.4, 10 when "trickle-ice" is supported; what is in a body is `segue.protocols.sdp`
  RFC 6141   done: 4 (target refresh), 5.4, 5.5
  RFC 6228   done: 199
  RFC 6337   done: 2.2, 2.3, 3.1, 4.3
  RFC 4028   done: 7, 9, 10, offered and not required; 8 in `segue.server`. A peer that knows no timers is refreshed
             too, which tells when it is gone
  RFC 3515   not done here: REFER comes as MessageInDialog

Beyond the standards, and harmless to others
- A caller that moves before it is answered places its call anew with the same Call-ID and From tag and the next
  CSeq number, then cancels the first with a Reason of protocol `segue`. Our callee knows the call again and goes on
  ringing; another's sees a new call after a cancelled one.
- A re-INVITE that tells of a move is tried again sooner than RFC 3261 section 14.1 says after a 491, at most once a
  round trip. Ours gives way to the peer's, instead of answering 491, when ours went to the address the peer has left;
  and, if the peer made the Call-ID, when ours tells of a move: two that moved together would go on meeting.
- An offer that gets 491 is told (OfferCrossed): where it says that the peer is, the peer listens already.
- A refused or unanswered re-INVITE that tells of a move does not end the call.
"""
