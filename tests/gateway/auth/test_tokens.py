"""Access tokens, good and bad: whose a token is, or why it is nobody's."""

from __future__ import annotations

import dataclasses
import hmac
import json
import math
import re
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st

from gateway.auth.settings import Settings
from gateway.auth.tokens import (
    JwksError,
    Tokens,
    VerificationKey,
    keys_of_secrets,
    keys_of_set,
)
from gateway.errors import CredentialError, UnknownKeyError
from session.model import Principal
from tests.gateway.auth.signing import (
    AUDIENCE,
    ISSUER,
    NOW,
    SECRET,
    WITH_SET,
    claims,
    jwk,
    jwk_set,
    key,
    part,
    token,
)

ALGORITHMS = ("RS256", "ES256", "EdDSA")
WITH_SECRET = Settings(secret_file="/secret", issuer=ISSUER, audience=AUDIENCE)
HUGE = 10**400


def tokens(*names: Any, settings: Settings = WITH_SET) -> Tokens:
    return Tokens(settings, keys_of_set(jwk_set(*(names or ("rsa", "es", "ed"))), ALGORITHMS))


def refusal(text: str, judge: Tokens | None = None, now: float = NOW) -> str:
    with pytest.raises(CredentialError) as refused:
        (judge or tokens()).find(text, now)
    assert text not in str(refused.value)
    return str(refused.value)


# -- good ones


@pytest.mark.parametrize("by", ["rsa", "es", "ed"])
def test_a_good_token_says_whose_it_is(by: str) -> None:
    found = tokens().find(token(by), NOW)
    assert found == Principal(
        "acme",
        "ann",
        ("doctors",),
        frozenset({"ask", "answer"}),
        found.credential,
        NOW + 60 + WITH_SET.leeway_seconds,
    )
    assert tokens().has(found.credential)


def test_a_token_of_our_own_secret_is_good_where_there_is_one() -> None:
    judge = Tokens(
        WITH_SECRET, keys_of_secrets(b"an-older-secret-that-is-also-long-enough\n" + SECRET)
    )
    assert judge.find(token("secret", "HS256", header={"kid": None}), NOW).subject == "ann"
    assert judge.find(token("secret", "HS256", header={"kid": "whatever"}), NOW).subject == "ann"


@pytest.mark.parametrize("audience", [AUDIENCE, [AUDIENCE], ["https://other.example", AUDIENCE]])
def test_one_of_several_audiences_is_enough(audience: object) -> None:
    assert tokens().find(token(aud=audience), NOW).subject == "ann"


def test_keys_without_ids_are_tried_one_after_the_other() -> None:
    judge = tokens(jwk("rsa", kid=None), jwk("rsa-2", kid=None))
    for by in ("rsa", "rsa-2"):
        assert judge.find(token(by), NOW).subject == "ann"
        assert judge.find(token(by, header={"kid": None}), NOW).subject == "ann"
    assert "signature" in refusal(token("rsa-3"), judge)


def test_a_token_without_a_key_id_finds_its_key_among_several() -> None:
    assert tokens("rsa", "rsa-2").find(token("rsa-2", header={"kid": None}), NOW).subject == "ann"


def test_leeway_is_given_at_both_ends() -> None:
    judge = tokens(settings=dataclasses.replace(WITH_SET, leeway_seconds=10.0))
    late = token(exp=NOW - 9)
    assert judge.find(late, NOW).expires_at == NOW + 1
    assert "expired" in refusal(late, judge, NOW + 1)
    early = token(nbf=NOW + 10)
    assert judge.find(early, NOW).subject == "ann"
    assert "not good yet" in refusal(early, judge, NOW - 0.1)


def test_times_may_have_fractions() -> None:
    assert tokens().find(token(exp=NOW + 0.5, nbf=NOW - 0.5), NOW).expires_at == NOW + 10.5


def test_claims_may_have_other_names() -> None:
    settings = dataclasses.replace(
        WITH_SET,
        tenant_claim="https://example/org",
        subject_claim="email",
        groups_claim="roles",
        scopes_claim="scp",
    )
    more: dict[str, Any] = {
        "https://example/org": "other",
        "email": "a@b.c",
        "roles": ["r"],
        "scp": ["notify"],
    }
    found = tokens(settings=settings).find(token(**more), NOW)
    assert (found.tenant, found.subject, found.groups) == ("other", "a@b.c", ("r",))
    assert found.scopes == {"notify"}


def test_what_a_token_does_not_claim_may_be_set() -> None:
    settings = dataclasses.replace(WITH_SET, tenant="default", scopes=("answer",))
    found = tokens(settings=settings).find(token(tenant=None, scope=None, groups=None), NOW)
    assert (found.tenant, found.groups) == ("default", ())
    assert found.scopes == {"answer"}
    # What it does claim counts, also when it is nothing.
    assert tokens(settings=settings).find(token(scope=""), NOW).scopes == frozenset()
    assert tokens().find(token(scope=None), NOW).scopes == frozenset()


@pytest.mark.parametrize(
    ("scope", "scopes"),
    [
        ("ask", {"ask"}),
        ("  ask   answer ", {"ask", "answer"}),
        (["ask", "notify"], {"ask", "notify"}),
        ("openid profile ask", {"ask"}),
        ("ASK Answer", set()),
        ([], set()),
        (["ask answer"], set()),
    ],
)
def test_scopes_are_ours_or_nobodys(scope: object, scopes: set[str]) -> None:
    assert tokens().find(token(scope=scope), NOW).scopes == scopes


# -- bad ones

BAD_CLAIMS: dict[str, tuple[dict[str, Any], str]] = {
    "another audience": ({"aud": "https://router.example/mcp2"}, "somebody else"),
    "a sibling of the audience": ({"aud": "https://router.example"}, "somebody else"),
    "a longer audience": ({"aud": AUDIENCE + "/"}, "somebody else"),
    "no audience of several": ({"aud": ["a", "b"]}, "somebody else"),
    "an empty audience": ({"aud": []}, "no access token|somebody else"),
    "an audience that is no text": ({"aud": 7}, "no access token|somebody else"),
    "an audience that is an object": ({"aud": {AUDIENCE: 1}}, "no access token|somebody else"),
    "no audience": ({"aud": None}, "no access token"),
    "another issuer": ({"iss": "https://evil.example"}, "somebody else"),
    "a list of issuers": ({"iss": [ISSUER]}, "no access token|somebody else"),
    "an issuer that begins alike": ({"iss": ISSUER + ".evil.example"}, "somebody else"),
    "no issuer": ({"iss": None}, "no access token"),
    "no end": ({"exp": None}, "no access token"),
    "an end that was": ({"exp": NOW - 11}, "expired"),
    "an end at zero": ({"exp": 0}, "expired"),
    "an end before everything": ({"exp": -HUGE}, "no access token"),
    "an end as text": ({"exp": "1900000000"}, "no number"),
    "an end that is true": ({"exp": True}, "no number"),
    "an end that is no number": ({"exp": math.nan}, "no number"),
    "an end at infinity": ({"exp": math.inf}, "no number"),
    "an end too far to count": ({"exp": HUGE}, "no access token"),
    "an end that is a list": ({"exp": [NOW + 60]}, "no number"),
    "a beginning that will be": ({"nbf": NOW + 11}, "not good yet"),
    "a beginning as text": ({"nbf": "0"}, "no number"),
    "a beginning that is false": ({"nbf": False}, "no number"),
    "a beginning that is no number": ({"nbf": math.nan}, "no number"),
    "a beginning at minus infinity": ({"nbf": -math.inf}, "no number"),
    "no tenant": ({"tenant": None}, "no tenant"),
    "an empty tenant": ({"tenant": ""}, "no tenant"),
    "a tenant that is a number": ({"tenant": 7}, "no tenant"),
    "a tenant that is too long": ({"tenant": "t" * 129}, "no tenant"),
    "a tenant with a line end": ({"tenant": "acme\n"}, "no tenant"),
    "a tenant with half a character": ({"tenant": "\ud800"}, "no tenant"),
    "no subject": ({"sub": None}, "no subject"),
    "a subject that is a list": ({"sub": ["ann"]}, "no subject|no access token"),
    "a subject with a NUL": ({"sub": "ann\0"}, "no subject"),
    "groups that are a text": ({"groups": "doctors"}, "groups"),
    "groups that are an object": ({"groups": {"doctors": True}}, "groups"),
    "groups that are not texts": ({"groups": [1]}, "no group"),
    "an empty group": ({"groups": [""]}, "no group"),
    "too many groups": ({"groups": ["g"] * 65}, "groups"),
    "scopes that are a number": ({"scope": 7}, "scopes"),
    "scopes that are an object": ({"scope": {"ask": True}}, "scopes"),
    "scopes that are not texts": ({"scope": ["ask", 7]}, "scopes"),
}


@pytest.mark.parametrize("name", BAD_CLAIMS)
def test_a_token_that_claims_something_unusable_is_refused(name: str) -> None:
    more, words = BAD_CLAIMS[name]
    assert re.search(words, refusal(token(**more)))


def test_null_is_not_the_same_as_nothing() -> None:
    """A claim that is there and null is not replaced by what stands for one that is missing."""
    settings = dataclasses.replace(WITH_SET, tenant="default")
    payload = claims() | {"tenant": None}
    assert "no tenant" in refusal(token(payload=payload), tokens(settings=settings))
    assert "groups" in refusal(token(payload=claims() | {"groups": None}))


@pytest.mark.parametrize(
    ("header", "words"),
    [
        ({"crit": ["exp"]}, "critical|no access token"),
        ({"crit": []}, "critical|no access token"),
        ({"crit": ["b64"], "b64": True}, "critical|no access token"),
        ({"crit": ["b64"], "b64": False}, "critical|no access token"),
        ({"b64": False}, "no access token"),
        ({"kid": 7}, "no access token"),
        ({"kid": ["rsa"]}, "no access token"),
        ({"alg": "none"}, "not accepted"),
        ({"alg": "None"}, "not accepted"),
        ({"alg": ""}, "not accepted"),
        ({"alg": None}, "no access token|not accepted"),
        ({"alg": ["RS256"]}, "no access token|not accepted"),
        ({"alg": "RS512"}, "not accepted"),
        ({"alg": "PS256"}, "not accepted"),
    ],
)
def test_a_header_that_asks_for_something_else_is_refused(
    header: dict[str, Any], words: str
) -> None:
    assert re.search(words, refusal(token(header=header)))


def test_an_unsigned_token_is_refused() -> None:
    for judge in (tokens(), Tokens(WITH_SECRET, keys_of_secrets(SECRET))):
        assert "not accepted" in refusal(token(algorithm="none"), judge)
        assert "not accepted" in refusal(token(algorithm="none", header={"kid": None}), judge)
        unsigned = token().rpartition(".")[0] + "."
        assert refusal(unsigned, judge)


@pytest.mark.parametrize("has_secret", [False, True])
def test_a_public_key_is_no_secret(has_secret: bool) -> None:
    """HS256 signed with what everybody knows of an RSA key (RFC 8725 section 2.1)."""
    settings = dataclasses.replace(WITH_SET, secret_file="/secret" if has_secret else "")
    keys = [*keys_of_set(jwk_set("rsa"), ALGORITHMS), *(keys_of_secrets(SECRET) * has_secret)]
    judge = Tokens(settings, keys)
    public = key("rsa").public_key()
    for known in (
        public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
        public.public_bytes(Encoding.PEM, PublicFormat.PKCS1),
        public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
        json.dumps(jwk("rsa")).encode(),
        b"",
    ):
        for kid in ("rsa", None):
            fields = {"alg": "HS256"} | ({} if kid is None else {"kid": kid})
            signed = b".".join((part(fields), part(claims())))
            forged = b".".join((signed, part(hmac.digest(known, signed, "sha256")))).decode()
            assert refusal(forged, judge)


def test_a_signature_must_be_of_the_key_that_is_named() -> None:
    judge = tokens("rsa", "rsa-2")
    assert "signature" in refusal(token("rsa-2", header={"kid": "rsa"}), judge)
    with pytest.raises(UnknownKeyError):
        judge.find(token("rsa", header={"kid": "rsa-3"}), NOW)
    with pytest.raises(UnknownKeyError):
        judge.find(token("rsa", header={"kid": ""}), NOW)


def test_a_key_has_one_algorithm_whatever_the_token_says() -> None:
    with pytest.raises(UnknownKeyError):
        tokens("es").find(token("rsa", header={"kid": "es"}), NOW)
    assert "not accepted" in refusal(
        token("es"), tokens("es", settings=dataclasses.replace(WITH_SET, algorithms=("RS256",)))
    )


def test_where_a_token_says_that_its_key_is_nobody_looks() -> None:
    evil = {"jwk": jwk("rsa-2"), "jku": "http://127.0.0.1:9/jwks", "x5u": "http://127.0.0.1:9/x"}
    assert "signature" in refusal(token("rsa-2", header={"kid": "rsa", **evil}))
    with pytest.raises(UnknownKeyError):
        tokens().find(token("rsa-2", header=evil), NOW)
    # Nor is a good token worse for them.
    assert tokens().find(token(header=evil), NOW).subject == "ann"


@pytest.mark.parametrize(
    "text",
    [
        "",
        ".",
        "..",
        "...",
        "a.b.c",
        "a.b.c.d.e",
        "e30.e30.",
        "e30.e30.e30",
        "null.null.null",
        "\0",
        "=.=.=",
        part([]).decode() + ".e30.",
        part({"alg": "RS256"}).decode(),
        part(b"\xff").decode() + ".e30.e30",
        part(b"[" * 5_000).decode() + ".e30.e30",
        part(b'{"alg":' + b"9" * 5_000 + b"}").decode() + ".e30.e30",
    ],
)
def test_what_is_no_token_is_refused(text: str) -> None:
    with pytest.raises(CredentialError):
        tokens().find(text, NOW)


@pytest.mark.parametrize("payload", [b"", b"7", b"[]", b"null", b'"text"', b"{", b"\xff{}", []])
def test_claims_that_are_no_object_are_refused(payload: object) -> None:
    assert refusal(token(payload=payload))


def test_a_token_that_is_too_long_is_not_looked_at() -> None:
    assert "too long" in refusal(token(more="x" * 8192))


def test_what_a_token_says_is_not_in_the_refusal() -> None:
    for claim in ("tenant", "exp", "nbf", "aud", "iss", "groups"):
        more: dict[str, Any] = {claim: "canary\n"}
        assert "canary" not in refusal(token(**more))
    assert "canary" not in refusal(token(header={"kid": "canary"}))
    assert "canary" not in refusal(token(header={"alg": "canary"}))


# -- keys


@pytest.mark.parametrize(
    "member",
    [
        {"kty": "oct", "k": "c2VjcmV0LXRoYXQtZXZlcnlib2R5LWtub3dz", "alg": "HS256"},
        {"kty": "oct", "k": "c2VjcmV0LXRoYXQtZXZlcnlib2R5LWtub3dz"},
        {"kty": "other"},
        {},
        {"kty": "RSA", "n": "AQAB", "e": "AQAB"},
        {"kty": "RSA", "n": 7, "e": None},
        {"kty": "EC", "crv": "P-256", "x": "AA", "y": "AA"},
        {"kty": "EC", "crv": "unknown", "x": "AA", "y": "AA"},
        {"kty": "OKP", "crv": "X25519", "x": "A" * 43},
    ],
)
def test_a_member_that_verifies_nothing_is_passed_over(member: dict[str, Any]) -> None:
    (found,) = keys_of_set(jwk_set(member, "rsa"), ALGORITHMS)
    assert found.id == "rsa"
    with pytest.raises(JwksError, match="no key in this JWK set"):
        keys_of_set(jwk_set(member), ALGORITHMS)


@pytest.mark.parametrize(
    "more",
    [
        {"use": "enc"},
        {"key_ops": ["encrypt"]},
        {"alg": "RS512"},
        {"alg": "PS256"},
        {"alg": "HS256"},
        {"alg": "RSA-OAEP"},
        {"alg": "none"},
    ],
)
def test_a_key_for_something_else_is_passed_over(more: dict[str, Any]) -> None:
    assert [each.id for each in keys_of_set(jwk_set(jwk("rsa", **more), "es"), ALGORITHMS)] == [
        "es"
    ]


def test_a_key_that_is_too_short_is_passed_over() -> None:
    assert [each.id for each in keys_of_set(jwk_set("rsa1024", "rsa"), ALGORITHMS)] == ["rsa"]


def test_another_curve_is_passed_over() -> None:
    assert [each.id for each in keys_of_set(jwk_set("es384", "es"), ALGORITHMS)] == ["es"]


def test_a_private_key_in_a_set_is_passed_over() -> None:
    """Who publishes it has told everybody how to sign."""
    numbers = key("es").private_numbers()
    private = jwk("es", d=part(numbers.private_value.to_bytes(32, "big")).decode())
    assert [each.id for each in keys_of_set(jwk_set(private, "rsa"), ALGORITHMS)] == ["rsa"]


def test_only_what_is_accepted_is_taken_from_a_set() -> None:
    keys = keys_of_set(jwk_set("rsa", "es", "ed"), ("ES256",))
    assert [(each.id, each.algorithm) for each in keys] == [("es", "ES256")]


@pytest.mark.parametrize("kid", [None, 7, ["rsa"], {"a": 1}])
def test_an_id_that_is_no_text_is_none(kid: object) -> None:
    (found,) = keys_of_set(jwk_set(jwk("rsa") | {"kid": kid}), ALGORITHMS)
    assert found.id == ""


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b"7",
        b"{}",
        b'{"keys":null}',
        b'{"keys":{}}',
        b'{"keys":"RSA"}',
        b'{"keys":[7]}',
        b'{"keys":[null]}',
        b"\xff",
        b"[" * 100_000,
        b'{"keys":' + b"[" * 100_000,
        b"<html>",
    ],
)
def test_what_is_no_set_is_refused(data: bytes) -> None:
    with pytest.raises(JwksError, match="no JWK set"):
        keys_of_set(data, ALGORITHMS)


def test_a_set_without_keys_is_refused() -> None:
    with pytest.raises(JwksError, match="no key"):
        keys_of_set(b'{"keys":[]}', ALGORITHMS)


def test_of_many_keys_the_first_hundred_count() -> None:
    members = [jwk("es", kid=f"k{number}") for number in range(150)]
    assert len(keys_of_set(jwk_set(*members), ALGORITHMS)) == 100


def test_secrets_are_lines_of_some_length() -> None:
    other = b"another-secret-that-is-long-enough-as-well"
    keys = keys_of_secrets(b"\r\n" + SECRET + b"\r\n\n  " + other + b"\n")
    assert [each.key for each in keys] == [SECRET, other]
    with pytest.raises(JwksError, match="at least 32 bytes"):
        keys_of_secrets(SECRET + b"\nshort")
    with pytest.raises(JwksError, match="no secret"):
        keys_of_secrets(b" \n\n")


def test_a_secret_is_in_no_text_of_a_key() -> None:
    (found,) = keys_of_secrets(SECRET)
    for text in (repr(found), str(found), f"{[found]}", found.name):
        assert SECRET.decode() not in text
        assert hmac.digest(SECRET, b"", "sha256").hex() not in text
    judge = Tokens(WITH_SECRET, [found])
    assert SECRET.decode() not in repr(judge)


def test_another_key_under_the_same_id_is_another_one() -> None:
    """What was opened with the old key ends, also when the new one is called the same."""
    before = tokens(jwk("rsa", kid="current"))
    after = tokens(jwk("rsa-2", kid="current"))
    found = before.find(token(header={"kid": "current"}), NOW)
    assert before.has(found.credential)
    assert not after.has(found.credential)
    # Whatever it is called, it is the same key.
    assert tokens(jwk("rsa", kid="renamed")).has(found.credential)
    secrets = Tokens(WITH_SECRET, keys_of_secrets(SECRET))
    found = secrets.find(token("secret", "HS256"), NOW)
    other = b"another-secret-that-is-long-enough-as-well"
    assert Tokens(WITH_SECRET, keys_of_secrets(other + b"\n" + SECRET)).has(found.credential)
    assert not Tokens(WITH_SECRET, keys_of_secrets(other)).has(found.credential)


# -- anything

GOOD = {by: token(by) for by in ("rsa", "es", "ed")}
SECRET_GOOD = token("secret", "HS256")
BOTH = Tokens(
    dataclasses.replace(WITH_SET, secret_file="/secret"),
    [*keys_of_set(jwk_set("rsa", "es", "ed"), ALGORITHMS), *keys_of_secrets(SECRET)],
)
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)


def refused_or_as_good(text: str) -> None:
    """Nothing but `CredentialError` comes out, and nobody gets in but who was meant to."""
    try:
        found = BOTH.find(text, NOW)
    except CredentialError:
        return
    assert (found.tenant, found.subject) == ("acme", "ann")


@given(st.text())
def test_any_text_is_refused(text: str) -> None:
    with pytest.raises(CredentialError):
        BOTH.find(text, NOW)


@given(st.lists(st.binary(), min_size=3, max_size=3))
def test_any_three_parts_are_refused(parts: list[bytes]) -> None:
    with pytest.raises(CredentialError):
        BOTH.find(b".".join(map(part, parts)).decode(), NOW)


@given(st.sampled_from([*GOOD.values(), SECRET_GOOD]), st.data())
def test_a_token_that_was_meddled_with_is_refused(good: str, data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(good) - 1))
    until = data.draw(st.integers(at, min(len(good), at + 3)))
    refused_or_as_good(good[:at] + data.draw(st.text(max_size=3)) + good[until:])


@given(st.dictionaries(st.sampled_from(["alg", "kid", "typ", "crit", "b64", "cty"]), ANYTHING))
def test_any_header_is_refused_or_does_no_harm(header: dict[str, Any]) -> None:
    refused_or_as_good(token("secret", "HS256", header=header))


@given(
    st.dictionaries(
        st.sampled_from(["exp", "nbf", "iat", "iss", "aud", "groups", "scope", "jti"]), ANYTHING
    )
)
def test_any_claims_are_refused_or_do_no_harm(more: dict[str, Any]) -> None:
    refused_or_as_good(token("secret", "HS256", payload=claims() | more))


@given(st.binary() | st.builds(lambda value: json.dumps(value).encode(), ANYTHING))
def test_any_bytes_are_no_set_or_one(data: bytes) -> None:
    try:
        keys = keys_of_set(data, ALGORITHMS)
    except JwksError:
        return
    assert all(isinstance(each, VerificationKey) for each in keys)


@given(st.dictionaries(st.sampled_from([*jwk("rsa"), *jwk("es"), "use", "key_ops", "d"]), ANYTHING))
def test_any_member_is_a_key_or_passed_over(more: dict[str, Any]) -> None:
    for name in ("rsa", "es", "ed"):
        try:
            keys_of_set(jwk_set(jwk(name) | more), ALGORITHMS)
        except JwksError:
            pass
