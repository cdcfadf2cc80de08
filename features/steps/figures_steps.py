from behave import given, then

from features.support.platform import Platform

POWER = "properties.rated_power_kw"
MEASURES = [{"op": "count"}, {"op": "avg", "of": POWER}]


def add(platform, **body):
    answer = platform.request("POST", "/assets", json=body)
    assert answer.status_code == 201, answer.text
    platform.assets[body["name"]] = answer.json()


def groups(platform, group_by, **narrowed_to):
    asked = {"group_by": group_by, "measures": MEASURES, "filter": {"asset_type": "machine"} | narrowed_to}
    answer = platform.request("POST", "/assets/aggregate", by="viewer", json=asked)
    assert answer.status_code == 200, answer.text
    return answer.json()["groups"]


def shown(group):
    """Give a group as a row of the table: its halls by their names, and nothing as nothing."""
    key = group.get("group_name", group["group"])
    return ["" if key is None else key, *(f"{measure['value']:g}" for measure in group["measures"])]


def check(context, found):
    assert sorted(shown(group) for group in found) == sorted(list(row) for row in context.table), found


@given("the machines")
def describe(context):
    for row in context.table:
        if row["hall"] not in context.platform.assets:
            add(context.platform, asset_type="hall", name=row["hall"])
        properties = {"rated_power_kw": float(row["rated_power_kw"])}
        if row["manufacturer"]:
            properties["manufacturer"] = row["manufacturer"]
        hall_id = context.platform.assets[row["hall"]]["id"]
        add(context.platform, asset_type="machine", name=row["name"], parent_id=hall_id, properties=properties)


@then('by "{group_by}" there are')
def tell(context, group_by):
    check(context, groups(context.platform, group_by))


@then('by "{group_by}" there are below "{name}"')
def tell_below(context, group_by, name):
    check(context, groups(context.platform, group_by, ancestor=context.platform.assets[name]["id"]))


@then('a stranger counts nothing by "{group_by}"')
def count_nothing(context, group_by):
    stranger = Platform(context.running.url)
    found = groups(stranger, group_by)
    stranger.http.close()
    assert found == [], found
