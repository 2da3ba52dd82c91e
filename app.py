"""The composition root: the Chalice app, its routes, its WebSocket handlers, its schedule and its queue."""

import gc
import os
from typing import TYPE_CHECKING, Any

if "_HANDLER" in os.environ:  # what a start makes stays: looking for garbage in it is a tenth of the start
    gc.disable()

from chalice.app import Chalice, CloudWatchEvent, Rate, SQSEvent, WebsocketEvent

from chalicelib import journal, references, settings, tally
from chalicelib.admin import settings as admin_settings
from chalicelib.jitsi import settings as jitsi_settings
from chalicelib.outbox import kicks, owed
from chalicelib.sora import settings as sora_settings
from chalicelib.store import noted, table

if TYPE_CHECKING:
    from chalicelib.admin.door import Serve
    from chalicelib.operations import Operation

app = Chalice(app_name="foyer")
app.experimental_feature_flags.update(["BLUEPRINTS", "WEBSOCKETS"])
app.api.binary_types = []
references.begin()

# In Lambda each function imports what its events can need; everywhere else all of it is here.
HANDLER = os.environ.get("_HANDLER", "")
REST = HANDLER in ("", "app.app")
SOCKETS = HANDLER in ("", "app.ws_connect", "app.ws_message", "app.ws_disconnect")
WORK = HANDLER in ("", "app.tick", "app.work")
# Elsewhere operators may come and go while the process stays, as in tests.
OPERATED = not HANDLER or admin_settings.get().on
OPERATORS = REST and OPERATED

if REST or SOCKETS:
    from chalicelib.jitsi import auth

noted.follow(lambda: admin_settings.get().on)

if SOCKETS or WORK:
    from chalicelib.realtime import fanout, protocols

if REST or WORK:
    from chalicelib.media import settings as webhooks
    from chalicelib.media import streams
    from chalicelib.owt.store import commands

    commands.follow(webhooks.wanted)
    commands.undertake((streams.STOP, streams.wanted))

if REST or WORK:
    from chalicelib.loop import secrets as loop_secrets
    from chalicelib.loop import settings as loop_settings
    from chalicelib.owt import media_settings, vault
    from chalicelib.owt import settings as owt_settings
    from chalicelib.wcs import settings as wcs_settings

if SOCKETS:
    from chalicelib.jitsi import sockets as stomp_sockets

    protocols.offer(stomp_sockets.SPOKEN)

if SOCKETS:
    from chalicelib.sora import sockets as sora_sockets

    protocols.offer(sora_sockets.SPOKEN)

if SOCKETS or WORK:
    from chalicelib.jitsi import actions as jitsi_actions
    from chalicelib.sora import listeners

    protocols.ends(protocols.OTHERS, jitsi_actions.ended)
    protocols.ends(listeners.VERSION, listeners.ended)
    protocols.later(jitsi_actions.leave_later)

if OPERATED:
    from chalicelib.admin import rollups

if OPERATED and WORK:
    from chalicelib.admin import measures

if OPERATORS:
    from chalicelib.media import push as command_push

    owed.replays(commands.PUSH, command_push.replay)


def operators() -> "Serve":
    """What serves operators; its modules wait for the first of them."""
    from chalicelib.admin.routes import every

    return every.serve


def offered() -> "list[Operation]":
    """All operations; their modules wait for the first who asks for the document that they make."""
    from chalicelib.admin import operations as admin_operations
    from chalicelib.jitsi import operations as jitsi_operations
    from chalicelib.loop import operations as loop_operations
    from chalicelib.media import operations as media_operations
    from chalicelib.owt import operations as owt_operations
    from chalicelib.sora import operations as sora_operations
    from chalicelib.wcs import operations as wcs_operations

    return [
        *system_routes.OPERATIONS,
        *jitsi_operations.OPERATIONS,
        *owt_operations.every(),
        *loop_operations.every(),
        *media_operations.every(),
        *sora_operations.OPERATIONS,
        *wcs_operations.every(),
        *(admin_operations.every() if OPERATORS else ()),
        *(console_routes.OPERATIONS if OPERATORS else ()),
    ]


if REST:
    from chalicelib.admin import door
    from chalicelib.console import routes as console_routes
    from chalicelib.jitsi import routes as jitsi_routes
    from chalicelib.loop import media as loop_media
    from chalicelib.loop.routes import every as loop_routes
    from chalicelib.media.routes import every as media_routes
    from chalicelib.owt.routes import every as owt_routes
    from chalicelib.sora import routes as sora_routes
    from chalicelib.system import routes as system_routes
    from chalicelib.wcs import routes as wcs_routes

    app.register_blueprint(system_routes.bp)
    app.register_blueprint(jitsi_routes.bp)
    for blueprint in (*owt_routes.BLUEPRINTS, *loop_routes.BLUEPRINTS, *media_routes.BLUEPRINTS):
        app.register_blueprint(blueprint)
    app.register_blueprint(sora_routes.bp)
    app.register_blueprint(wcs_routes.bp)
    if OPERATORS:
        door.open_to(operators)
    app.register_blueprint(door.bp)
    app.register_blueprint(console_routes.bp)
    system_routes.offer(offered)

if WORK:
    from chalicelib.jitsi import counts, release, store
    from chalicelib.loop import sweep as loop_sweep
    from chalicelib.loop.store import rooms as loop_rooms
    from chalicelib.owt import purge
    from chalicelib.owt.actions import orders
    from chalicelib.owt.store import ended, services
    from chalicelib.realtime import fronts

    owed.serve(store.RELEASE, release.release)
    owed.serve(store.PAGE, release.page)
    owed.serve(store.DAMPED, release.damped)
    owed.serve(store.COUNT, counts.tick)
    owed.serve(store.LOOK, release.look)
    owed.serve(store.LEAVE, release.leave, swept=False)
    owed.serve(store.DROP, release.drop, swept=False)
    owed.serve(ended.END, purge.ended_work)
    owed.serve(ended.PURGE, purge.room_work)
    owed.serve(services.PURGE, purge.service_work)
    owed.serve(commands.CONFIRM, orders.confirm_work)
    owed.serve(loop_rooms.ROOM, loop_sweep.room_work)

if WORK:
    from chalicelib.media import push as media_push

    owed.serve(commands.PUSH, media_push.serve, slow=True, replay=media_push.replay)

if WORK:
    from chalicelib.sora import push, upstream
    from chalicelib.sora import store as sora_store

    owed.serve(sora_store.PUSH, push.push)
    owed.serve(sora_store.UPSTREAM, upstream.tell)
    owed.serve(listeners.LOOK, listeners.look)
    owed.serve(listeners.LEFT, listeners.left, swept=False)

if WORK:
    from chalicelib.wcs import ending as wcs_ending
    from chalicelib.wcs import reaper
    from chalicelib.wcs import store as wcs_store

    owed.serve(wcs_store.STALE, reaper.look)
    owed.serve(wcs_store.END, wcs_ending.tell)
    owed.serve(wcs_store.FOLLOW, streams.follow)
    owed.serve(streams.STOP, streams.stop)


@app.on_ws_connect()
@journal.counting
def ws_connect(event: WebsocketEvent) -> Any:
    """A handshake."""
    return protocols.handshake(event.to_dict())


@app.on_ws_message()
@journal.counting
def ws_message(event: WebsocketEvent) -> Any:
    """A message of a socket."""
    return protocols.message(event.to_dict())


@app.on_ws_disconnect()
@journal.counting
def ws_disconnect(event: WebsocketEvent) -> Any:
    """A socket has gone."""
    return protocols.disconnect(event.to_dict())


@app.schedule(Rate(1, unit=Rate.MINUTES))
@journal.counting
def tick(event: CloudWatchEvent) -> Any:
    """Every minute: find what is owed and was missed; say where API Gateway is; sum up what was served."""
    overdue = owed.overdue()
    fronts.announce()
    if OPERATED and admin_settings.get().rolls_up:
        measures.tick(overdue)
    return {"kicked": overdue.rows}


@app.on_sqs_message(queue=os.environ.get("FOYER_QUEUE_NAME", "foyer-work"), batch_size=1)
@journal.counting
def work(event: SQSEvent) -> Any:
    """Kicks: look at owed rows; what failed comes again."""
    failed = owed.work(event.to_dict()["Records"])
    return {"batchItemFailures": [{"itemIdentifier": identity} for identity in failed]}


def warm() -> None:
    """Read the settings and make the clients, so that the first event finds them.  Raises `BadSetting`."""
    settings.get()
    jitsi_settings.get()
    sora_settings.get()
    admin_settings.get()
    if REST or SOCKETS:
        auth.users()
        auth.servers()
    refuse_open_stage()
    journal.begin()
    if OPERATED and admin_settings.get().rolls_up:
        tally.begin(rollups.keep, admin_settings.get().rollup_flush_s)
    table.client()
    kicks.client()
    if REST or WORK:
        owt_settings.get()
        media_settings.get()
        webhooks.get()
        vault.warm()
        loop_settings.get()
        loop_secrets.warm()
        wcs_settings.get()
    if REST:
        loop_media.warm()
    if WORK:
        loop_sweep.warm()
        wcs_ending.warm()
    if SOCKETS or HANDLER == "app.work":  # the others send nothing to sockets
        fanout.warm()


def refuse_open_stage() -> None:
    """The open stage `local` never runs in Lambda, unless that is an emulator's.  Raises `BadSetting`."""
    inside = "AWS_LAMBDA_FUNCTION_NAME" in os.environ
    if inside and settings.get().stage == "local" and "AWS_ENDPOINT_URL" not in os.environ:
        raise settings.BadSetting("FOYER_STAGE: the stage local is open and does not run in Lambda")


if HANDLER:
    warm()
    gc.freeze()  # nor is it looked through again when a request leaves garbage
    gc.enable()
