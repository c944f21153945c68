// One call while it goes on; what is only for then goes with it.

import "./once.js";
import { follow } from "./story.js";

const now = document.getElementById("now");
const over = () => document.querySelectorAll("#orders, #levels").forEach((part) => part.remove());
const fault = document.getElementById("fault");
const tell = (failed) => (fault.hidden = !failed);
// The phone's page does not do this: it would hang up.
const turnedAway = () => location.reload();
follow(now, now.dataset.url, { follows: true, over, tell, turnedAway });
