"""Slack's own SDK against the stand-in: every shape that the SDK looks at must be as it expects.

usage: slack_sdk_proof.py BASE_URL

The stand-in's clock is moved through its control endpoint, so that nothing here waits.
"""

import json
import sys
import time
import urllib.request

from slack_sdk import WebClient
from slack_sdk.errors import SlackApiError, SlackTokenRotationError
from slack_sdk.http_retry.builtin_handlers import (
    ConnectionErrorRetryHandler,
    RateLimitErrorRetryHandler,
    ServerErrorRetryHandler,
)
from slack_sdk.oauth.installation_store import Bot
from slack_sdk.oauth.token_rotation import TokenRotator

BASE_URL = sys.argv[1]
ROOT = BASE_URL.removesuffix("/api")
BOT, USER, NARROW = "xoxb-sandbox-bot", "xoxp-sandbox-user", "xoxb-sandbox-narrow"
INACTIVE, ROTATING, REFRESH = "xoxb-sandbox-inactive", "xoxe.xoxb-1-sandbox-0", "xoxe-1-sandbox-0"
CLIENT = {"client_id": "1000.2000", "client_secret": "sandbox-client-secret"}
GENERAL, SUPPORT = "C0ACME000", "C0ACME001"


def control(action, **arguments):
    body = json.dumps(arguments).encode()
    with urllib.request.urlopen(f"{ROOT}/_sandbox/{action}", data=body) as answer:
        return json.load(answer)


def client(token=BOT, retry_handlers=()):
    return WebClient(token=token, base_url=BASE_URL, timeout=5, retry_handlers=list(retry_handlers))


def refused(expected, call, *args, **kwargs):
    """The SDK must raise, with this error in a JSON answer of status 200."""
    try:
        call(*args, **kwargs)
    except SlackApiError as error:
        assert error.response["error"] == expected, (expected, error.response.data)
        assert error.response.status_code == 200, error.response.status_code
        return error.response
    raise AssertionError(f"{expected}: the call went through")


def channel_id(name):
    for page in client().conversations_list(limit=1000, types="public_channel,private_channel"):
        for channel in page["channels"]:
            if channel["name"] == name:
                return channel["id"]
    raise AssertionError(name)


def answers_that_are_ok():
    web = client()
    who = web.auth_test()
    assert who["team"] == "Acme" and who["bot_id"] and who["user_id"], who
    assert who.headers["x-slack-req-id"], who.headers
    posted = web.chat_postMessage(channel=SUPPORT, text="Order 4711 has shipped")
    assert isinstance(posted["ts"], str) and posted["ts"] == posted["message"]["ts"], posted
    assert posted["channel"] == SUPPORT and posted["message"]["bot_id"] == who["bot_id"], posted
    reply = web.chat_postMessage(channel="#support", text="Thanks", thread_ts=posted["ts"])
    assert reply["message"]["thread_ts"] == posted["ts"], reply
    info = web.conversations_info(channel=SUPPORT, include_num_members=True)["channel"]
    assert info["name"] == "support" and info["num_members"] > 30 and not info["is_archived"], info
    anna = web.users_lookupByEmail(email="anna.berger@acme.example")["user"]
    assert web.users_info(user=anna["id"])["user"]["profile"]["email"] == "anna.berger@acme.example"
    assert web.reactions_add(channel=SUPPORT, name="eyes", timestamp=posted["ts"])["ok"]
    thread = web.conversations_replies(channel=SUPPORT, ts=posted["ts"])["messages"]
    assert [message["text"] for message in thread] == ["Order 4711 has shipped", "Thanks"], thread
    assert thread[0]["reply_count"] == 1 and thread[0]["reactions"][0]["name"] == "eyes", thread[0]
    newest = web.conversations_history(channel=SUPPORT, limit=1)["messages"][0]
    assert newest["ts"] == posted["ts"], "a reply stands in its thread only"
    everywhere = client(USER).search_messages(query="4711 shipped", count=5)["messages"]
    assert everywhere["matches"][0]["channel"]["id"] == SUPPORT, everywhere
    assert everywhere["paging"]["total"] == everywhere["total"], everywhere


def every_way_to_send_arguments():
    web = client()
    for encoding in ("params", "data", "json"):
        answer = web.api_call("chat.postMessage", **{encoding: {"channel": GENERAL, "text": encoding}})
        assert answer["message"]["text"] == encoding, answer.data
        control("advance", seconds=5)
    # JSON is for methods that take it; elsewhere it is passed over.
    refused("invalid_arguments", web.api_call, "conversations.info", json={"channel": GENERAL})
    # A token counts in the header or in a form, not in a query.
    no_header = urllib.request.urlopen(f"{BASE_URL}/auth.test?token={BOT}")
    assert json.load(no_header)["error"] == "not_authed"
    form = urllib.request.urlopen(f"{BASE_URL}/auth.test", data=f"token={BOT}".encode())
    assert json.load(form)["ok"] is True
    request = urllib.request.Request(
        f"{BASE_URL}/conversations.info?channel={GENERAL}", headers={"Authorization": f"Bearer {BOT}"}
    )
    assert json.load(urllib.request.urlopen(request))["channel"]["name"] == "general"
    request = urllib.request.Request(
        f"{BASE_URL}/auth.test",
        data=b"{}",
        headers={"Authorization": f"Bearer {BOT}", "Content-Type": "application/json"},
    )
    assert json.load(urllib.request.urlopen(request))["warning"] == "missing_charset"


def every_error():
    web, person = client(), client(USER)
    archived, uninvited, private = (channel_id(name) for name in ("old-crm", "lunch", "leadership"))
    refused("is_archived", web.chat_postMessage, channel=archived, text="hello")
    refused("not_in_channel", web.chat_postMessage, channel=uninvited, text="hello")
    refused("not_in_channel", web.conversations_history, channel=uninvited)
    refused("channel_not_found", web.chat_postMessage, channel="C0NOWHERE", text="hello")
    refused("channel_not_found", web.conversations_history, channel="#general")
    refused("channel_not_found", web.conversations_info, channel="C0ACME030")
    assert web.conversations_info(channel=private)["channel"]["is_private"]
    refused("no_text", web.api_call, "chat.postMessage", json={"channel": SUPPORT})
    refused("msg_too_long", web.chat_postMessage, channel=SUPPORT, text="x" * 40_001)
    refused("thread_not_found", web.conversations_replies, channel=SUPPORT, ts="1.000000")
    refused("thread_not_found", web.chat_postMessage, channel=SUPPORT, text="hello", thread_ts="1.000000")
    refused("invalid_cursor", web.conversations_list, cursor="made up")
    refused("invalid_cursor", web.conversations_history, channel=SUPPORT, cursor="dGVhbTpDMA==")
    refused("invalid_limit", web.conversations_list, limit=5000)
    refused("users_not_found", web.users_lookupByEmail, email="nobody@acme.example")
    refused("users_not_found", web.users_lookupByEmail, email="nora.ebner@acme.example")
    refused("user_not_found", web.users_info, user="U0NOBODY")
    assert web.users_info(user="U0ACME039")["user"]["deleted"] is True
    refused("not_allowed_token_type", web.search_messages, query="order")
    refused("no_query", person.search_messages, query="")
    refused("message_not_found", web.reactions_add, channel=SUPPORT, name="eyes", timestamp="1.000000")
    ts = web.conversations_history(channel=SUPPORT, limit=1)["messages"][0]["ts"]
    refused("already_reacted", web.reactions_add, channel=SUPPORT, name="eyes", timestamp=ts)
    scope = refused("missing_scope", client(NARROW).conversations_list)
    assert scope["needed"] == "channels:read" and scope["provided"] == "chat:write", scope.data
    refused("not_authed", client(None).auth_test)
    refused("invalid_auth", client("xoxb-made-up").auth_test)
    refused("account_inactive", client(INACTIVE).auth_test)
    refused("unknown_method", web.api_call, "chat.shout")
    missing = refused("invalid_arguments", web.api_call, "conversations.history")
    assert "channel" in missing["response_metadata"]["messages"][0], missing.data
    for code in ("fatal_error", "internal_error", "service_unavailable"):
        control("force", failure={"code": code})
        refused(code, web.auth_test)


def pages():
    web = client()
    listed = [channel for page in web.conversations_list(limit=7) for channel in page["channels"]]
    assert len(listed) == 29 and len({channel["id"] for channel in listed}) == 29, len(listed)
    control("advance", seconds=60)
    # Archived channels leave a page after it was cut, so that one of these pages is empty and not the last.
    sizes = [len(page["channels"]) for page in web.conversations_list(limit=4, exclude_archived=True)]
    assert sum(sizes) == 24 and min(sizes) < 4, sizes
    assert web.conversations_list(limit=1000)["response_metadata"]["next_cursor"] == ""
    messages = [m for page in web.conversations_history(channel=SUPPORT, limit=200) for m in page["messages"]]
    stamps = [message["ts"] for message in messages]
    assert len(messages) == 901 and stamps == sorted(set(stamps), reverse=True), len(messages)
    parent = next(message for message in messages if message.get("reply_count", 0) >= 3)
    thread = [m["ts"] for page in web.conversations_replies(channel=SUPPORT, ts=parent["ts"], limit=2) for m in page["messages"]]
    assert len(thread) == parent["reply_count"] + 1 and thread == sorted(thread), thread
    middle = stamps[450]
    older = web.conversations_history(channel=SUPPORT, latest=middle, limit=1)["messages"][0]["ts"]
    assert older == stamps[451]
    found = client(USER).search_messages(query="Globex", count=50, cursor="*")
    total, seen = found["messages"]["total"], 0
    for page in found:
        seen += len(page["messages"]["matches"])
    assert seen == total > 100, (seen, total)


def walls():
    slept = []

    def pass_time(seconds):
        slept.append(seconds)
        control("advance", seconds=int(seconds) + 1)

    control("enforce_walls", on=True)
    patient = client(retry_handlers=[RateLimitErrorRetryHandler(max_retry_count=2)])
    really_sleep, time.sleep = time.sleep, pass_time
    try:
        for number in range(21):
            patient.conversations_list(limit=1)
        assert len(slept) == 1 and 60 <= slept[0] < 62, slept
        slept.clear()
        for number in range(4):
            patient.chat_postMessage(channel=SUPPORT, text=f"burst {number}")
        assert len(slept) == 1 and 1 <= slept[0] < 2, slept
    finally:
        time.sleep = really_sleep
    control("force", failure={"rate_limited": {"retry_after": 30}})
    try:
        client().auth_test()
        raise AssertionError("the wall was not there")
    except SlackApiError as error:
        assert error.response.status_code == 429 and error.response["error"] == "ratelimited"
        assert error.response.headers["Retry-After"] == "30", error.response.headers
    control("throttle_under_200", on=True)
    control("force", failure={"rate_limited": {"retry_after": 30}})
    refused("rate_limited", client().auth_test)
    control("throttle_under_200", on=False)


def failures_below_the_api():
    at_once = {"max_retry_count": 1}
    handlers = [ServerErrorRetryHandler(**at_once), ConnectionErrorRetryHandler(**at_once)]
    really_sleep, time.sleep = time.sleep, lambda seconds: None
    try:
        for failure in ("internal_error", "unavailable", "reset"):
            control("force", failure=failure)
            assert client(retry_handlers=handlers).auth_test()["ok"], failure
    finally:
        time.sleep = really_sleep
    control("force", failure="html")
    try:
        client().auth_test()
        raise AssertionError("a web page went through")
    except SlackApiError as error:
        assert "non-JSON" in error.response["error"], error.response.data


def rotation():
    rotator = TokenRotator(client=client(None), **CLIENT)
    half_a_day = int(time.time()) + 43_200
    bot = Bot(
        team_id="T0ACME001",
        bot_token=ROTATING,
        bot_id="B0BOT0001",
        bot_user_id="U0BOT0001",
        bot_refresh_token=REFRESH,
        bot_token_expires_at=half_a_day,
        installed_at=time.time(),
    )
    assert rotator.perform_bot_token_rotation(bot=bot) is None, "not due yet"
    renewed = rotator.perform_bot_token_rotation(bot=bot, minutes_before_expiration=13 * 60)
    assert renewed.bot_token.startswith("xoxe.xoxb-") and renewed.bot_token != ROTATING
    assert abs(renewed.bot_token_expires_at - half_a_day) < 60, renewed.bot_token_expires_at
    assert client(renewed.bot_token).auth_test()["ok"] and client(ROTATING).auth_test()["ok"]
    try:
        rotator.perform_bot_token_rotation(bot=bot, minutes_before_expiration=13 * 60)
        raise AssertionError("a refresh token was good for two uses")
    except SlackTokenRotationError as error:
        assert error.api_error.response["error"] == "invalid_refresh_token"
    control("advance", seconds=12 * 3600)
    refused("token_expired", client(ROTATING).auth_test)
    refused("token_expired", client(renewed.bot_token).auth_test)
    again = rotator.perform_bot_token_rotation(bot=renewed, minutes_before_expiration=13 * 60)
    assert client(again.bot_token).auth_test()["ok"]
    wrong = {**CLIENT, "client_secret": "wrong"}
    refused("bad_client_secret", client(None).oauth_v2_access, grant_type="refresh_token", refresh_token="x", **wrong)
    control("revoke", token=again.bot_token)
    refused("token_revoked", client(again.bot_token).auth_test)


for proof in (answers_that_are_ok, every_way_to_send_arguments, every_error, pages, walls, failures_below_the_api, rotation):
    control("enforce_walls", on=proof is walls)
    proof()
    print(f"ok: {proof.__name__.replace('_', ' ')}")
