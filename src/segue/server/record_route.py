"""Our own names, and our Record-Route (RFC 3261 section 16.6 item 4, RFC 5658 for two transports).

A Record-Route names us, not a flow: a dialog's request finds a phone by its GRUU or its registered contact,
wherever that phone is then. Only a contact that means one flow (`;ob`, RFC 5626) or that nobody registered gets a
flow token, and only in the copy of the Record-Route that its peer sees.
"""

from __future__ import annotations

from segue.base.address import Address
from segue.base.errors import RemoteError
from segue.base.secret import Secret
from segue.protocols.sip.field_values import NameAddr
from segue.protocols.sip.flow import Flow
from segue.protocols.sip.message import Message, Request, Response
from segue.protocols.sip.uri import SipUri
from segue.server.config import ServerConfig
from segue.server.flow_tokens import read_token, write_token
from segue.server.location import Location

WILDCARDS = ("0.0.0.0", "::")
DIALOGS = frozenset({"INVITE", "SUBSCRIBE", "REFER", "NOTIFY"})


class Names:
    """What of a URI or Via means us."""

    def __init__(self, config: ServerConfig) -> None:
        self.domain = config.domain.lower()
        self._name = config.name.lower()
        self._hosts = {self.domain, config.host}
        self._ports: set[int] = set()
        for listen in config.listens:
            if listen.transport != "STUN":
                self.learn(listen.address)

    def learn(self, local: Address) -> None:
        """One of our own addresses."""
        self._ports.add(local.port)
        if local.host not in WILDCARDS:
            self._hosts.add(local.host)

    def ours(self, host: str, port: int | None) -> bool:
        return host in self._hosts and (port is None or port in self._ports)

    def user_of(self, uri: SipUri) -> str | None:
        """The user of our domain that a URI names; None for a URI of elsewhere or without user."""
        if not uri.user or not self.ours(uri.host, uri.port):
            return None
        return SipUri(uri.scheme, uri.user, None, "x", None).address_of_record[4:-2]

    def sent_by(self, flow: Flow) -> str:
        """Our host and port as the other end of this flow should know them."""
        host = flow.local.host
        if self._name:
            host = self._name
        elif flow.secure or host in WILDCARDS:
            host = self.domain
        return str(Address(host, flow.local.port))


class RecordRoute:
    """Adds, reads and rewrites our Record-Route and Route values."""

    def __init__(self, names: Names, location: Location, key: Secret) -> None:
        self.names = names
        self._location = location
        self._key = key

    def add(self, request: Request, came: Flow, goes: Flow) -> tuple[str, ...]:
        """Put ourselves into a request that may begin a dialog; returns the values, top first. Two when the
        transports differ, each with our name on its side."""
        if request.method not in DIALOGS or request.to.tag is not None:
            return ()
        secure = request.uri[:5].lower() == "sips:"
        token = self._token(request, came)
        values = [self._value(came, secure, token)]
        if came.transport != goes.transport or self.names.sent_by(came) != self.names.sent_by(goes):
            values.insert(0, self._value(goes, secure, ""))
        for value in reversed(values):
            request.headers.prepend("Record-Route", value)
        return tuple(values)

    def rewrite(self, response: Response, values: tuple[str, ...], came: Flow) -> None:
        """Give the caller's copy of our values the token of the callee's flow, or none."""
        routes = response.headers.get_all("Record-Route")
        if not values or values[0] not in routes:
            return
        token = self._token(response, came)
        at = routes.index(values[0])
        for offset, value in enumerate(values):
            if routes[at + offset : at + offset + 1] == [value]:
                routes[at + offset] = _with_user(value, token if offset == 0 else "")
        response.headers.remove("Record-Route")
        for value in routes:
            response.headers.add("Record-Route", value)

    def read(self, uri: SipUri) -> Flow | None:
        """The flow whose token stands in a Route of ours."""
        return read_token(uri.user, self._key) if uri.user else None

    def _token(self, message: Message, flow: Flow) -> str:
        """A token when the message's Contact cannot be found without one."""
        try:
            contacts = message.contacts
        except RemoteError:
            return ""
        if not contacts or not isinstance(contacts[0].uri, SipUri):
            return ""
        uri = contacts[0].uri
        if self.names.ours(uri.host, uri.port):
            return ""
        if "ob" not in uri.params and self._location.of_contact(uri) is not None:
            return ""
        return write_token(flow, self._key)

    def _value(self, flow: Flow, secure: bool, token: str) -> str:
        user = f"{token}@" if token else ""
        if secure and flow.secure:
            return f"<sips:{user}{self.names.sent_by(flow)};lr>"
        return f"<sip:{user}{self.names.sent_by(flow)};transport={flow.transport.lower()};lr>"


def _with_user(value: str, user: str) -> str:
    uri = NameAddr.parse(value).uri
    assert isinstance(uri, SipUri)
    uri.user = user
    return f"<{uri}>"
