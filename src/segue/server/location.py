"""Where the users of our domain are: bindings of an address of record to contacts and flows, in memory.

(RFC 3261 section 10.3, RFC 5626 section 6, RFC 5627 section 5.) Each binding that changes is noted in `dirty`
until the store has it.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from typing import TypeVar
from urllib.parse import quote, unquote

from segue.protocols.sip.flow import Flow
from segue.protocols.sip.timers import DeadlineHeap
from segue.protocols.sip.uri import SipUri

Key = tuple[str, str]  # address of record, binding key
LOST_LIMIT = 10_000
K = TypeVar("K")


@dataclass(slots=True, eq=False)
class Binding:
    """One contact. `key` is instance-id and reg-id, or the contact URI; `params` is the text of the Contact's own
    parameters; `flow` is None when it is gone (a connection of before a restart); `deadline` is when it expires."""

    aor: str
    key: str
    contact: str
    params: str
    instance: str
    reg_id: int
    call_id: str
    sequence: int
    outbound: bool
    gruu: bool
    flow: Flow | None
    deadline: float | None
    registered_at: float = 0.0
    order: int = 0  # the higher, the newer
    queued: float | None = None


@dataclass(slots=True)
class Dirty:
    """Bindings that the store must write or remove."""

    written: dict[Key, Binding] = field(default_factory=dict)
    removed: set[Key] = field(default_factory=set)

    def __bool__(self) -> bool:
        return bool(self.written or self.removed)


class Location:
    """All bindings. `moved` collects (AOR, instance-id) that got a flow, for whoever has a request pending."""

    def __init__(self) -> None:
        self.dirty = Dirty()
        self.moved: list[tuple[str, str]] = []
        self._by_aor: dict[str, dict[str, Binding]] = {}
        self._by_contact: dict[str, dict[Key, Binding]] = {}
        self._by_flow: dict[Flow, dict[Key, Binding]] = {}
        self._by_remote: dict[str, dict[Key, Binding]] = {}
        self._heap: DeadlineHeap[Binding] = DeadlineHeap()
        self._lost: OrderedDict[tuple[str, str], float] = OrderedDict()
        self._order = 0

    # Changing

    def put(self, binding: Binding, now: float, *, note: bool = True) -> None:
        """Add a binding, or note that a known one was refreshed (`rebind` when its flow or contact changes)."""
        known = self._by_aor.setdefault(binding.aor, {})
        if known.get(binding.key) is not binding:
            if binding.key in known:
                self._unindex(known[binding.key])
            known[binding.key] = binding
            self._index(binding)
        self._order += 1
        binding.order = self._order
        self._heap.watch(binding)
        if note:
            binding.registered_at = now
            key = (binding.aor, binding.key)
            self.dirty.removed.discard(key)
            self.dirty.written[key] = binding
            self.moved.append((binding.aor, target_name(binding)))

    def rebind(self, binding: Binding, contact: str, flow: Flow) -> None:
        """A known binding has another contact or flow; `put` follows."""
        self._unindex(binding)
        binding.contact, binding.flow = contact, flow
        self._index(binding)

    def remove(self, binding: Binding) -> None:
        bindings = self._by_aor.get(binding.aor, {})
        if bindings.get(binding.key) is not binding:
            return
        del bindings[binding.key]
        if not bindings:
            del self._by_aor[binding.aor]
        self._unindex(binding)
        binding.deadline = None
        key = (binding.aor, binding.key)
        self.dirty.written.pop(key, None)
        self.dirty.removed.add(key)

    def lose(self, binding: Binding, now: float) -> None:
        """Its flow has failed: the binding goes (RFC 5626 section 7), and for a while the phone is expected back."""
        self.remove(binding)
        self.miss(binding, now)

    def miss(self, binding: Binding, now: float) -> None:
        name = target_name(binding)
        self._lost[binding.aor, name] = now
        self._lost.move_to_end((binding.aor, name))
        if len(self._lost) > LOST_LIMIT:
            self._lost.popitem(last=False)

    def flow_failed(self, flow: Flow, now: float) -> None:
        for binding in list(self._by_flow.get(flow, {}).values()):
            self.lose(binding, now)

    def expire(self, now: float) -> None:
        while (binding := self._heap.due(now)) is not None:
            self.remove(binding)

    def deadline(self) -> float | None:
        return self._heap.next()

    # Looking up

    def bindings(self, aor: str) -> list[Binding]:
        """The newest first."""
        known = self._by_aor.get(aor)
        if known is None:
            return []
        return sorted(known.values(), key=lambda binding: -binding.order)

    def of_key(self, aor: str, key: str) -> Binding | None:
        return self._by_aor.get(aor, {}).get(key)

    def instances(self, aor: str) -> list[str]:
        """What a request for this AOR forks to, newest first: each instance-id once, and each contact that has
        none (RFC 5626 section 7)."""
        return list(dict.fromkeys(target_name(binding) for binding in self.bindings(aor)))

    def of_instance(self, aor: str, name: str) -> list[Binding]:
        """The bindings that reach one instance (or bare contact), newest first."""
        return [binding for binding in self.bindings(aor) if target_name(binding) == name]

    def of_contact(self, uri: SipUri) -> Binding | None:
        """The newest binding whose contact is this URI (RFC 3261 section 19.1.4); else one whose contact has this
        user, and whose connection comes from this address: some phones (baresip) register the port on which
        they listen, and call that of their connection their Contact in a dialog."""
        found: Binding | None = None
        for binding in self._by_contact.get(_place(uri), {}).values():
            if (found is None or binding.order > found.order) and _same_contact(uri, binding):
                found = binding
        for binding in self._by_remote.get(_place(uri), {}).values() if found is None else ():
            if found is None or binding.order > found.order:
                found = binding
        return found

    def on_flow(self, flow: Flow) -> list[Binding]:
        return list(self._by_flow.get(flow, {}).values())

    def lately_lost(self, aor: str, instance: str, now: float, window: float) -> bool:
        """Whether the phone lost its flow within the last `window` seconds, and may be about to come back."""
        at = self._lost.get((aor, instance))
        return at is not None and now - at <= window

    def lost_instances(self, aor: str, now: float, window: float) -> list[str]:
        """Those of an AOR that `lately_lost` is true of."""
        names = []
        for (of, name), at in reversed(self._lost.items()):
            if now - at > window:
                break
            if of == aor:
                names.append(name)
        return names

    def __len__(self) -> int:
        return sum(len(bindings) for bindings in self._by_aor.values())

    def _index(self, binding: Binding) -> None:
        key = (binding.aor, binding.key)
        self._by_contact.setdefault(_place(SipUri.parse(binding.contact)), {})[key] = binding
        if binding.flow is not None:
            self._by_flow.setdefault(binding.flow, {})[key] = binding
            self._by_remote.setdefault(_remote_place(binding, binding.flow), {})[key] = binding

    def _unindex(self, binding: Binding) -> None:
        key = (binding.aor, binding.key)
        place = _place(SipUri.parse(binding.contact))
        _discard(self._by_contact, place, key)
        if binding.flow is not None:
            _discard(self._by_flow, binding.flow, key)
            _discard(self._by_remote, _remote_place(binding, binding.flow), key)


def target_name(binding: Binding) -> str:
    return binding.instance or binding.key


def gruu_of(binding: Binding) -> str:
    """The public GRUU (RFC 5627 section 5.1): the AOR with `gr`."""
    return f"{binding.aor};gr={quote(binding.instance, safe=':-._~+')}"


def instance_of(gr: str) -> str:
    """The instance-id that a `gr` parameter names."""
    return unquote(gr)


def _place(uri: SipUri) -> str:
    return f"{uri.user}@{uri.host}:{uri.port or 0}"


def _remote_place(binding: Binding, flow: Flow) -> str:
    """Where requests for this contact would come out if its port were that of the flow."""
    return f"{SipUri.parse(binding.contact).user}@{flow.remote.host}:{flow.remote.port}"


def _same_contact(uri: SipUri, binding: Binding) -> bool:
    other = SipUri.parse(binding.contact)
    other.scheme = uri.scheme
    # Phones write transport, ob and their like in one of the two only.
    for name in ("transport", "ob"):
        if (name in uri.params) != (name in other.params):
            uri = SipUri(uri.scheme, uri.user, uri.password, uri.host, uri.port, {**uri.params})
            uri.params.pop(name, None)
            other.params.pop(name, None)
    return uri.equivalent(other)


def _discard(index: dict[K, dict[Key, Binding]], place: K, key: Key) -> None:
    there = index.get(place)
    if there is not None:
        there.pop(key, None)
        if not there:
            del index[place]
