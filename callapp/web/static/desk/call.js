// One call while it goes on.

import { follow } from "./story.js";

const now = document.getElementById("now");
follow(now, now.dataset.url, { follows: true, over: () => document.getElementById("orders")?.remove() });
