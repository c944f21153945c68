"""The numbers page: how the calls of the last days went."""

from __future__ import annotations

from datetime import UTC, datetime

from flask import render_template, request
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _

from callapp.call_log.numbers import count
from callapp.services import services
from callapp.web.desk.plots import Line, columns, lines
from callapp.web.desk.sign_in import blueprint

PERIODS = (7, 30, 90)
# From so many dollars on, two decimals tell the days apart.
_COARSE_USD = 0.1


@blueprint.get("/numbers")
def numbers() -> ResponseReturnValue:
    asked = request.args.get("days", type=int)
    days = asked if asked in PERIODS else PERIODS[1]
    found = count(services().store, datetime.now(UTC).date(), days)
    dates = [day.day for day in found.days]
    usd = "${:.2f}" if any(day.usd >= _COARSE_USD for day in found.days) else "${:.4f}"
    plots = {
        "calls": columns(_("Calls a day"), dates, [float(day.calls) for day in found.days], "{:g}"),
        "waits": lines(
            _("How long answers were waited for"),
            dates,
            [
                Line("p50", "main", [day.p50_ms for day in found.days]),
                Line("p95", "other", [day.p95_ms for day in found.days]),
            ],
            "{:.0f} ms",
        ),
        "usd": columns(_("Cost a day"), dates, [day.usd for day in found.days], usd),
    }
    return render_template("desk/numbers.html", found=found, days=days, periods=PERIODS, plots=plots, usd=usd)
