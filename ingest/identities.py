"""Who events name, and whether that is proven: the inspection of sources with signed identity.

    accepted event ─► what it claims (userId, email, phone …) ─► does its proof cover that?
                            │                                         ├─ yes ─► verified
                            └─ nothing ─► anonymous, taken as ever    └─ no ──► set aside: unsigned_identity

What proofs are stands in `ingest.signatures`. A proof never reaches the log: it is taken out of what is stored and of
what is set aside.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import msgspec
from msgspec import Raw, Struct

from cdp.errors import TransientError
from cdp.forms.traces import is_personal
from cdp.records import NOTHING, RawEvent
from ingest.metrics import FIGURES
from ingest.signatures import (
    PLACE,
    SHARED,
    Claim,
    Outcome,
    SignedIdentity,
    UnprovenError,
    Verifier,
    verifier_of,
    written,
)
from ingest.source import Source
from ingest.sources.segment import Fault, Opened, Reading

CODE = "unsigned_identity"
HEADER = b"x-identity-proof"
MEMBER = "identity"

# The traits that tell who somebody is, as identity reads them: by what they are a claim to, and those that describe.
CONTACTS = {"email": "email", **dict.fromkeys(("phone", "phoneNumber", "phone_number", "mobile"), "phone")}
PERSONAL = frozenset(
    (
        *("name", "fullName", "full_name", "displayName", "firstName", "first_name", "lastName", "last_name"),
        *("birthday", "birthDate", "birth_date", "dateOfBirth", "date_of_birth", "dob", "gender", "address"),
    )
)
NO_VALUES: tuple[Any, ...] = (None, "", [], {})
UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


class SignedIdentities:
    """The inspection: looks at who events name, and whether that is proven."""

    def __init__(self, now: Callable[[], int]) -> None:
        """`now` tells the time at which tokens must be in force, in milliseconds."""
        self._now = now
        self._verifiers: dict[str, tuple[SignedIdentity, Verifier]] = {}

    def wanted(self, source: Source) -> bool:
        """Whether the source asks for proofs."""
        return source.body.identity.mode != "off"

    def inspect(self, source: Source, opened: Opened, reading: Reading) -> Reading:
        """The reading, its proven events marked; unproven ones are faults where the source enforces.

        Raises `TransientError` when it must judge and cannot, because the secrets are closed.
        """
        if opened.vouched:
            return reading
        verifier, enforced = self._verifier(source), source.body.identity.mode == "enforce"
        accepted, faults = [], list(reading.faults)
        for place, (key, event) in zip(reading.places(), reading.accepted, strict=True):
            outcome, unproven = self._judged(verifier, event, opened)
            FIGURES.identities[source.key, outcome] += 1
            if unproven is None or not enforced:
                accepted.append((key, event))
            else:
                path = unproven.path if opened.kind else f"batch[{place}].{unproven.path}"
                faults.append(Fault(CODE, unproven.reason, path, place, event.body, event.id, key))
        return reading._replace(accepted=accepted, faults=sorted(faults, key=lambda fault: fault.place))

    def _judged(self, verifier: Verifier, event: RawEvent, opened: Opened) -> tuple[Outcome, UnprovenError | None]:
        """What the event is, and what is wrong if it is unproven. Its own proof is taken out; a good one marks it."""
        try:
            context = _context(event.context)
            if context.identity is not None:
                event.context = without_proof(event.context)
            claims = [*_claims(event, context), *_of_context(_context(opened.context), "context")]
            if not claims:
                return "anonymous", None
            _verify(verifier, event, claims, context.identity or opened.proof, self._now())
        except UnprovenError as error:
            return error.outcome, error
        event.verified = True
        return "verified", None

    def _verifier(self, source: Source) -> Verifier:
        wanted = source.body.identity
        known = self._verifiers.get(source.key)
        if known is not None and known[0] is wanted:
            return known[1]
        if source.trouble and wanted.method in SHARED:
            if wanted.mode == "enforce":
                raise TransientError(f"Proofs of identity cannot be checked now: {source.trouble}", retry_after=30)
            wanted = wanted.model_copy(update={"secrets": []})
        verifier = verifier_of(wanted)
        self._verifiers[source.key] = source.body.identity, verifier
        return verifier


def _verify(verifier: Verifier, event: RawEvent, claims: list[Claim], proof: Any, now: int) -> None:
    """Raises `UnprovenError`."""
    if proof is None:
        reason = f"This source believes who an event is about only with a proof: {verifier.lacking}"
        raise UnprovenError(reason, claims[0].path, "unsigned")
    if not isinstance(proof, Mapping):
        raise UnprovenError(f"`{PLACE}` must be an object.", PLACE)
    identifiers = [claim for claim in claims if claim.name]
    if not identifiers:
        raise UnprovenError("A proof is about an identifier, and this names none: send the userId.", claims[0].path)
    verifier.check((event.user_id or "").strip(), identifiers, proof, now)


def presented(opened: Opened, header: str) -> Opened:
    """A request, with the proof that stands beside its events: in the batch's context, where it is taken out, or in the
    header (a signature or a token)."""
    proof: Any = None
    if header:
        proof = {"token": header} if header.count(".") == 2 else {"signature": header}
    if (beside := _context(opened.context).identity) is not None:
        proof, opened = beside, opened._replace(context=without_proof(opened.context))
    return opened if proof is None else opened._replace(proof=proof)


def without_proof(context: Raw) -> Raw:
    """The context without its member `identity`."""
    return Raw(_encode({name: raw for name, raw in _members(context).items() if name != MEMBER}))


# --- what an event claims -------------------------------------------------------------------------


class Context(Struct, rename="camel"):
    """The parts of a context that name somebody, or prove it."""

    traits: dict[str, Raw] | None = None
    external_ids: Raw = NOTHING
    identity: Any = None


EMPTY = Context()
_decode = msgspec.json.Decoder(Context).decode
_members = msgspec.json.Decoder(dict[str, Raw]).decode
_any = msgspec.json.Decoder().decode
_encode = msgspec.json.Encoder().encode


def _context(raw: Raw) -> Context:
    try:
        return _decode(raw) if len(raw) else EMPTY
    except UNREADABLE:
        raise UnprovenError("The context cannot be read, and nothing in it be proven.", "context") from None


def _claims(event: RawEvent, context: Context) -> Iterator[Claim]:
    """Whom the event names: each identifier in it, and what else tells who somebody is."""
    user_id, previous = (event.user_id or "").strip(), (event.previous_id or "").strip()
    if user_id:
        yield Claim("userId", user_id, "userId")
    if previous and previous != user_id:
        yield Claim("previousId", previous, "previousId")
    if event.type == "identify" and len(event.traits):
        yield from _of_traits(_read(_members, event.traits, "traits"), "traits")
    for claim in _of_context(context, "context"):
        # RudderStack names the user here once more.
        if claim[:2] != ("user_id", user_id):
            yield claim


def _of_context(context: Context, path: str) -> Iterator[Claim]:
    yield from _of_traits(context.traits or {}, f"{path}.traits")
    listed = _read(_any, context.external_ids, f"{path}.externalIds") if len(context.external_ids) else None
    for place, one in enumerate(listed if isinstance(listed, list) else ()):
        if isinstance(one, dict) and (claim := _of_external(one, f"{path}.externalIds[{place}].id")):
            yield claim


def _of_traits(traits: Mapping[str, Raw], path: str) -> Iterator[Claim]:
    for trait, raw in traits.items():
        if (name := CONTACTS.get(trait)) is None and trait not in PERSONAL:
            continue
        value = _read(_any, raw, f"{path}.{trait}")
        if name is None and value not in NO_VALUES:
            yield Claim("", "", f"{path}.{trait}")
        elif name is not None and (text := written(name, value)):
            yield Claim(name, text, f"{path}.{trait}")


def _of_external(one: Mapping[str, Any], path: str) -> Claim | None:
    name = written("", one.get("type")).lower()
    foreign = one.get("collection") not in (None, "users") or one.get("encoding") not in (None, "none")
    if foreign or not is_personal(name) or not (value := written(name, one.get("id"))):
        return None
    return Claim(name or "externalId", value, path)


def _read(decode: Callable[[Raw], Any], raw: Raw, path: str) -> Any:
    try:
        return decode(raw)
    except UNREADABLE:
        raise UnprovenError("This cannot be read, and not be proven.", path) from None
