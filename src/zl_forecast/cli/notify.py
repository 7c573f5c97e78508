"""`zl notify`: send what is new since the last message, and what has recovered."""

from dataclasses import asdict

from zl_forecast.cli.output import print_json, say
from zl_forecast.notify import CHANNELS, Delivery, find_events, notify, send_test

REMEDY = (
    f"No channel is set: nothing is sent. Next: {CHANNELS}, in the environment or .env; docs/operation.md has examples."
)


def send_changes(as_json: bool) -> int:
    """Find what holds, send what has changed, and print both.

    Parameters
    ----------
    as_json : bool
        Whether to print JSON.

    Returns
    -------
    int
        0 if every channel has what it should, 1 if one could not be reached.
    """
    events = find_events()
    deliveries = notify(events)
    if as_json:
        print_json(
            {
                "events": [asdict(event) for event in events.found],
                "unknown": events.unknown,
                "deliveries": [asdict(delivery) for delivery in deliveries],
            }
        )
    else:
        for event in events.found:
            say(event.line())
        for topic, reason in events.unknown.items():
            if topic == "build":  # the others are events
                say(f"{topic}: not known, {reason}", "yellow")
        if not events.found and not events.unknown:
            say("Nothing to report.")
        _print_deliveries(deliveries)
    return int(any(delivery.error for delivery in deliveries))


def send_a_test() -> int:
    """Send a test message to every channel, and print the outcome.

    Returns
    -------
    int
        0 if there are channels and all of them took it, else 1.
    """
    deliveries = send_test()
    _print_deliveries(deliveries)
    return int(not deliveries or any(delivery.error for delivery in deliveries))


def _print_deliveries(deliveries: list[Delivery]) -> None:
    if not deliveries:
        say(REMEDY, "bold", may_wrap=False)
    for own in deliveries:
        if own.error:
            say(f"{own.channel}: NOT SENT: {own.error}", "bold red")
        elif own.n_new or own.n_recovered:
            say(f"{own.channel}: sent {own.n_new} new, {own.n_recovered} recovered")
        else:
            say(f"{own.channel}: nothing new since the last message")
