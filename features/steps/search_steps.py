import json

from behave import given, then, when

from features.support.platform import Platform


def add(platform, name, **description):
    answer = platform.request("POST", "/assets", json={"asset_type": "pump", "name": name} | description)
    assert answer.status_code == 201, answer.text
    platform.assets[name] = answer.json()


def look_for(platform, **query):
    platform.request("GET", "/assets", by="engineer", params=query)


def look_for_as_stranger(context, **query):
    stranger = Platform(context.running.url)
    look_for(stranger, **query)
    context.platform.answer = stranger.answer
    stranger.http.close()


def go_through(platform, sort, limit, between=lambda: None):
    """Give the names on all pages; something may happen behind the first."""
    names, cursor = [], {}
    while True:
        look_for(platform, asset_type="pump", sort=sort, limit=limit, **cursor)
        assert platform.answer.status_code == 200, platform.answer.text
        page = platform.answer.json()
        names += [asset["name"] for asset in page["items"]]
        if page["next_cursor"] is None:
            return names
        if not cursor:
            between()
        cursor = {"cursor": page["next_cursor"]}


@given("the pumps")
def pumps(context):
    for row in context.table:
        if row["in"] not in context.platform.assets:
            add(context.platform, row["in"], asset_type="hall")
        properties = {"maker": row["maker"]} | ({"kw": float(row["kw"])} if row["kw"] else {})
        add(context.platform, row["name"], parent_id=context.platform.assets[row["in"]]["id"], properties=properties)


@when('an engineer looks for assets where "{predicate}"')
def look_by_predicate(context, predicate):
    look_for(context.platform, path=predicate)


@when('a stranger looks for assets where "{predicate}"')
def look_by_predicate_as_stranger(context, predicate):
    look_for_as_stranger(context, path=predicate)


@when('an engineer looks for assets by the words "{words}"')
def look_by_words(context, words):
    look_for(context.platform, q=words)


@when('an engineer looks for what is below "{name}" made by "{maker}"')
def look_below(context, name, maker):
    look_for(context.platform, ancestor=context.platform.assets[name]["id"], match=json.dumps({"maker": maker}))


@when('a stranger looks for what is below "{name}"')
def look_below_as_stranger(context, name):
    look_for_as_stranger(context, ancestor=context.platform.assets[name]["id"])


@when('an engineer looks for what "{type_name}" "{name}"')
def look_around(context, type_name, name):
    look_for(context.platform, related_to=context.platform.assets[name]["id"], relationship=type_name)


@when('an engineer sorts all pumps by "{sort}", {limit:d} on a page')
def sort_all(context, sort, limit):
    context.names = go_through(context.platform, sort, limit)


@when('an engineer sorts all pumps by "{sort}", {limit:d} on a page, and an operator adds "{name}" in between')
def sort_while_adding(context, sort, limit, name):
    context.names = go_through(context.platform, sort, limit, lambda: add(context.platform, name))


@when('an engineer goes on from a page by "{sort}" in the order of "{other}"')
def go_on_elsewhere(context, sort, other):
    look_for(context.platform, sort=sort, limit=1)
    look_for(context.platform, sort=other, limit=1, cursor=context.platform.answer.json()["next_cursor"])


@then('"{names}" are found')
def are_found(context, names):
    found = getattr(context, "names", None)
    if found is None:
        assert context.platform.answer.status_code == 200, context.platform.answer.text
        found = [asset["name"] for asset in context.platform.answer.json()["items"]]
    assert ", ".join(found) == names, found


@then("it is told that character {position:d} cannot stand there")
def is_told_where(context, position):
    answer = context.platform.answer
    assert f"At character {position}:" in answer.json()["errors"]["path"][0], answer.text
