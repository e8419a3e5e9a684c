// Serves the app and registers it with the server: `npm start`, or `flowforge dev -- npm start`, which starts a server for it.

import { work } from "flowforge/node";
import { flowforge } from "./app.js";

await work(flowforge);
