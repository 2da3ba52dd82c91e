"""From a front's id to its sockets: in this process, through its management listener, or API Gateway's."""

import logging
import os
from collections.abc import Sequence
from functools import cache
from typing import Final

from chalicelib import clock, metrics, settings
from chalicelib.errors import Unavailable
from chalicelib.realtime import fronts, ports
from chalicelib.realtime.connections import Connections, Endpoint
from chalicelib.realtime.fronts import Front
from chalicelib.realtime.ports import Outcome, Post
from chalicelib.store import aws

log = logging.getLogger(__name__)

SNAPSHOT: Final = "snap-start"
"""How Lambda says that a process is begun to be copied: no line outlasts that, nor a thread that has one."""


@cache
def connections() -> Connections:
    """The process's client for `@connections`."""
    ours = settings.get()
    return Connections(rate=ours.send_rate, secret=ours.gateway_secret, region=aws.region())


settings.also_reset(connections.cache_clear)


def warm() -> None:
    """Make the client, and a line to API Gateway where there is one; if it fails now, it may work later."""
    client = connections()
    front = fronts.api_gateway()
    if front is not None:
        try:
            client.warm(endpoint(front), os.environ.get("AWS_LAMBDA_INITIALIZATION_TYPE") != SNAPSHOT)
        except Unavailable as error:
            log.warning("no line to API Gateway yet: %s", error)


def endpoint(front: Front) -> Endpoint:
    """How to reach a front."""
    kind = "apigateway" if front.kind == "apigateway" else "gateway"
    return Endpoint(url=front.endpoint, kind=kind, bulk=front.bulk, dedup=front.dedup)


def is_local(front_id: str) -> bool:
    """Whether the sockets of a front are held by this process."""
    here = ports.current()
    return here.delivery is not None and front_id == here.front_id


def known(front_id: str) -> Front | None:
    """A living front by its id; one that is unknown is looked up once more."""
    ours = fronts.api_gateway()
    if ours is not None and front_id == ours.id:
        return ours
    return fronts.alive().get(front_id) or fronts.alive(fresh=True).get(front_id)


def send(front_id: str, posts: Sequence[Post]) -> list[Outcome]:
    """Send texts to sockets of one front; a gateway that is not alive has none.

    API Gateway may stand where this process knows of none, or may not send to it: then others have to.
    """
    if not posts:
        return []
    here = ports.current()
    if here.delivery is not None and front_id == here.front_id:
        return here.delivery.post(posts)
    front = known(front_id)
    if front is None:
        return [Outcome.RETRY if front_id == fronts.API_GATEWAY else Outcome.GONE] * len(posts)
    outcomes = connections().post_many(endpoint(front), posts)
    if Outcome.RETRY in outcomes and front.alive_until <= clock.now() and known(front_id) is None:
        outcomes = [Outcome.GONE if outcome is Outcome.RETRY else outcome for outcome in outcomes]
    if front_id == fronts.API_GATEWAY and set(outcomes) == {Outcome.FAILED}:
        outcomes = [Outcome.RETRY] * len(posts)
    for each in (Outcome.RETRY, Outcome.FAILED):
        if count := outcomes.count(each):
            metrics.POST_FAILURES.add(count, each)
    return outcomes


def close(front_id: str, socket_id: str, code: int) -> None:
    """Close a socket, wherever it is held."""
    here = ports.current()
    if here.delivery is not None and front_id == here.front_id:
        here.delivery.close(socket_id, code)
        return
    front = known(front_id)
    if front is not None:
        connections().close(endpoint(front), socket_id, code)
