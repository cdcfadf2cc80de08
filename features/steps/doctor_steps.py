import redis
from behave import then, when

from iotsphere.localstack.addresses import find_addresses


def shadow_store(context):
    return redis.Redis.from_url(find_addresses(context.own.data_dir).shadow_url)


def document_key(context, name):
    return f"iotsphere:shadow:document:{context.own_platform.devices[name]['id']}"


@when('somebody with rights on the shadow store makes the shadow of "{name}" say something else')
def alter_shadow(context, name):
    with shadow_store(context) as store:
        document = store.get(document_key(context, name))
        altered = document.replace(b'"eco"', b'"max"')
        assert altered != document
        store.set(document_key(context, name), altered)


@then('the doctor says that the shadow of "{name}" is "{what}"')
def names_shadow(context, name, what):
    [wrong] = [finding for finding in context.findings if not finding["is_well"]]
    assert wrong["subject"] == "shadow journal"
    assert f"shadow of device {context.own_platform.devices[name]['id']} " in wrong["detail"]
    assert what in wrong["detail"]
    assert context.status == 1
