import json
from base64 import urlsafe_b64decode

from behave import then, when

from features.support.running import eventually


def key_of(token):
    """Name the key that signed a token, as the token itself does."""
    header = token.partition(".")[0]
    return json.loads(urlsafe_b64decode(header + "=" * (-len(header) % 4)))["kid"]


@when("the platform's operator rotates the signing key on the machine that it runs on")
def rotate(context):
    context.key = json.loads(context.running.conduct("rotate-signing-key", "--json"))


@then('within {seconds:d} seconds new tokens are signed with the new key, and all the while "{name}" is logged in')
def are_signed_with_new_key(context, seconds, name):
    user = context.people[name]
    [place] = user.sessions
    context.given_out = [user.sessions[place]["access_token"]]

    def has_new_key():
        assert user.statuses(place) == (200, 200)
        context.given_out.append(user.sessions[place]["access_token"])
        return key_of(context.given_out[-1]) == context.key["id"]

    eventually(has_new_key, within=seconds, what="a token is signed with the new key")


@then('"{name}" is logged in with every token that was ever given out')
def are_all_good(context, name):
    assert len({key_of(token) for token in context.given_out}) == 2
    for token in context.given_out:
        headers = {"Authorization": f"Bearer {token}"}
        me = context.platform.get("/me", by="nobody", headers=headers)
        assert me["email"] == context.people[name].email
